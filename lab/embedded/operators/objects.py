"""Small pure readers and writers of Kubernetes objects as the wire has them (plain dictionaries).

This room exists so that controllers do not dig in dictionaries by hand. It must not talk to the API and must not know
what any field means to a controller.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]


def now() -> str:
    """RFC 3339, UTC, whole seconds: what metav1.Time is on the wire."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(stamp: str | None) -> float:
    """Seconds since an RFC 3339 stamp; 0 for none, so that what has no birth is new."""
    return (datetime.now(UTC) - parse_time(stamp)).total_seconds() if stamp else 0.0


def parse_time(stamp: str) -> datetime:
    """Accepts whole seconds and MicroTime (a Lease's renewTime)."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def dig(obj: Any, *path: str | int, default: Any = None) -> Any:
    """`dig(pod, "spec", "nodeName")`; the default for anything absent or null on the way."""
    for step in path:
        try:
            obj = obj[step]
        except (KeyError, IndexError, TypeError):
            return default
        if obj is None:
            return default
    return obj


def clone(obj: Obj) -> Obj:
    """A deep copy: informers' objects are shared and read-only."""
    return copy.deepcopy(obj)


def name_of(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    return str(obj["metadata"].get("namespace") or "")


def uid_of(obj: Obj) -> str:
    return str(obj["metadata"].get("uid") or "")


def key_of(obj: Obj) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects: the informers' keys."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    namespace, _, name = key.rpartition("/")
    return namespace, name


def labels_of(obj: Obj) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Obj) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def phase_of(obj: Obj | None) -> str:
    return str(dig(obj, "status", "phase", default=""))


def set_label(obj: Obj, key: str, value: str | None) -> None:
    """Set a label, or remove it with None."""
    labels = obj["metadata"].setdefault("labels", {})
    if value is None:
        labels.pop(key, None)
    else:
        labels[key] = value


def add_finalizer(obj: Obj, finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def remove_finalizer(obj: Obj, finalizer: str) -> None:
    finalizers = [entry for entry in obj["metadata"].get("finalizers") or [] if entry != finalizer]
    if finalizers:
        obj["metadata"]["finalizers"] = finalizers
    else:
        obj["metadata"].pop("finalizers", None)


def has_finalizer(obj: Obj, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or [])


def owner_reference(owner: Obj, api_version: str, kind: str) -> Obj:
    """A controller reference to `owner`; list items carry no kind of their own, hence the arguments."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference that controls the object, if any."""
    references: Iterable[Obj] = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def controlled_by(obj: Obj, uid: str) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid


def conditions_of(obj: Obj | None) -> list[Obj]:
    entries: list[Obj] = dig(obj, "status", "conditions", default=[])
    return entries


def condition(obj: Obj | None, kind: str) -> Obj | None:
    return next((entry for entry in conditions_of(obj) if entry.get("type") == kind), None)


def has_condition(obj: Obj | None, kind: str, status: str = "True", *reasons: str) -> bool:
    """True when the condition has that status and, if any are given, one of the reasons."""
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == status and (not reasons or entry.get("reason") in reasons)


def set_condition(obj: Obj, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Set a KubeVirt-style condition; one that already says so keeps its times, and so is no change."""
    entries = obj.setdefault("status", {}).setdefault("conditions", [])
    wanted: Obj = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now()}
    wanted |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
    for index, entry in enumerate(entries):
        if entry.get("type") == kind:
            if all(entry.get(field, "") == wanted.get(field, "") for field in ("status", "reason", "message")):
                return
            if entry.get("status") == status and entry.get("lastTransitionTime"):
                wanted["lastTransitionTime"] = entry["lastTransitionTime"]
            entries[index] = wanted
            return
    entries.append(wanted)


def remove_condition(obj: Obj, kind: str) -> None:
    if condition(obj, kind) is not None:
        obj["status"]["conditions"] = [entry for entry in conditions_of(obj) if entry.get("type") != kind]


def enter_phase(obj: Obj, phase: str) -> None:
    """Set status.phase and note the moment in status.phaseTransitionTimestamps, as KubeVirt does."""
    status = obj.setdefault("status", {})
    if status.get("phase") == phase:
        return
    status["phase"] = phase
    stamps = status.setdefault("phaseTransitionTimestamps", [])
    stamps.append({"phase": phase, "phaseTransitionTimestamp": now()})


def drop_empty(obj: Obj, *keys: str) -> None:
    """Go's omitempty: false, 0, "", empty lists and maps are not on the wire."""
    for key in keys:
        if not obj.get(key):
            obj.pop(key, None)


def short_hash(text: str, length: int = 11) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def newest_first(objects: Iterable[Obj]) -> list[Obj]:
    return sorted(objects, key=lambda obj: (obj["metadata"].get("creationTimestamp", ""), name_of(obj)), reverse=True)


def in_namespace(items: Mapping[str, Obj], namespace: str) -> Iterator[Obj]:
    """The objects of an informer's `items` that live in a namespace."""
    prefix = f"{namespace}/"
    return (obj for key, obj in items.items() if key.startswith(prefix))


def matches(selector: Obj | None, labels: Mapping[str, str]) -> bool:
    """metav1.LabelSelector semantics: null selects nothing, {} selects everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(expression_matches(term, labels) for term in selector.get("matchExpressions") or [])


def expression_matches(term: Obj, labels: Mapping[str, str]) -> bool:
    """One requirement (In, NotIn, Exists, DoesNotExist, Gt, Lt) against labels; an unknown operator matches nothing."""
    key, operator, values = term.get("key", ""), term.get("operator"), term.get("values") or []
    present, value = key in labels, labels.get(key, "")
    if operator in ("Gt", "Lt"):
        try:
            left, right = int(value), int(values[0])
        except (ValueError, IndexError):
            return False
        return left > right if operator == "Gt" else left < right
    outcomes = {
        "In": present and value in values,
        "NotIn": value not in values if present else True,
        "Exists": present,
        "DoesNotExist": not present,
    }
    return outcomes.get(str(operator), False)
