"""Label and field selectors: parsing with upstream's grammar, matching. Raises 400 with upstream's texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab.embedded.apiserver.errors import bad_request
from lab.embedded.reading import whole

Obj = dict[str, Any]
Predicate = Callable[[Obj], bool]
_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_SET = re.compile(rf"^(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?)$")
_COMPARE = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>[<>])\s*(?P<value>\d+)$")
_EXISTS = re.compile(rf"^(?P<no>!?)\s*(?P<key>{_KEY})$")
_OPERATOR = re.compile("==|!=|=")
_SPLIT = re.compile(r",(?![^()]*\))")

Requirement = Callable[[dict[str, str]], bool]


def _requirement(text: str, selector: str) -> Requirement:
    if match := _SET.match(text):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.match(text):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: key in labels and labels[key] == value
    if (match := _COMPARE.match(text)) and (number := whole(match["value"])) is not None:
        key, above = match["key"], match["op"] == ">"

        def compare(labels: dict[str, str]) -> bool:
            found = whole(labels.get(key, ""))
            return found is not None and (found > number if above else found < number)

        return compare
    if match := _EXISTS.match(text):
        key, wanted = match["key"], not match["no"]
        return lambda labels: (key in labels) == wanted
    raise bad_request(f"unable to parse requirement: found '{text}' in {selector!r}, expected: identifier, '!', 'in'")


def label_selector(text: str) -> Predicate | None:
    """Predicate for a labelSelector parameter; None when it selects everything."""
    parts = [part.strip() for part in _SPLIT.split(text)] if text.strip() else []
    if not parts:
        return None
    requirements = [_requirement(part, text) for part in parts]

    def matches(obj: Obj) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


COMMON_FIELDS = {"metadata.name", "metadata.namespace"}
KIND_FIELDS: dict[tuple[str, str], set[str]] = {
    ("", "pods"): {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    },
    ("", "nodes"): {"spec.unschedulable"},
    ("", "namespaces"): {"status.phase"},
    ("", "secrets"): {"type"},
    ("", "services"): {"spec.clusterIP", "spec.type"},
    ("", "events"): {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    },
}
BOOLEAN_FIELDS = {"spec.unschedulable", "spec.hostNetwork"}


def _field(obj: Obj, path: str) -> str:
    if path == "source":
        path = "source.component"
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in BOOLEAN_FIELDS:
        return "true" if value else "false"
    return "" if value is None else str(value)


def field_selector(text: str, collection: tuple[str, str], selectable: set[str] | None = None) -> Predicate | None:
    """Predicate for a fieldSelector parameter; `selectable` are a CRD's own selectableFields."""
    allowed = COMMON_FIELDS | KIND_FIELDS.get(collection, set()) | (selectable or set())
    requirements: list[tuple[str, bool, str]] = []
    for part in text.split(",") if text.strip() else []:
        # No expression with three runs of blanks: it would take the cube of their number to fail.
        match = _OPERATOR.search(part)
        field = part[: match.start()].strip() if match else ""
        if match is None or not field:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if field not in allowed:
            raise bad_request(f"field label not supported: {field}")
        requirements.append((field, match[0] != "!=", part[match.end() :].strip()))
    if not requirements:
        return None
    return lambda obj: all((_field(obj, path) == value) == equal for path, equal, value in requirements)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction of two optional predicates."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)


def match_selector(selector: Obj | None, labels: dict[str, str]) -> bool:
    """A metav1.LabelSelector object; None and empty select everything."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in (selector or {}).get("matchExpressions") or ():
        key, operator, values = rule.get("key", ""), rule.get("operator"), rule.get("values") or []
        good = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(operator, False)
        if not good:
            return False
    return True
