"""What the harness really sent to a lab, from the lab's audit log: each body against upstream's schemas, each request
against the roles of `deploy/rbac.yaml`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lab.embedded.apiserver import builtin, crdfiles
from lab.embedded.apiserver.rbac import rule_allows
from lab.embedded.apiserver.requests import Attributes
from tests import upstream

Obj = dict[str, Any]
RBAC = Path(__file__).parents[1] / "deploy" / "rbac.yaml"
RECORDED = Path(__file__).parent / "harness" / "requests.json"
"""The requests of a whole run and of every other command: see tests/bench/bench_rights.py."""
OPEN = ("authorization.k8s.io", "authentication.k8s.io")
"""Groups of reviews of oneself, which every user may ask for (system:basic-user)."""
AGENT = "virtlab"
"""The harness's User-Agent; the lab's own commands have others."""


@dataclass(frozen=True, order=True)
class Request:
    """What an authorizer is asked. `namespace` is `*` for one that a run made, `name` empty where roles do not tell."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        place = f" in {self.namespace}" if self.namespace else ""
        return (
            f"{self.verb} {what}{'.' + self.group if self.group else ''}{' ' + self.name if self.name else ''}{place}"
        )

    def fields(self) -> dict[str, str]:
        """For a file."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Rule:
    """One rule of a role, and the namespace in which it holds (empty: everywhere)."""

    where: str
    rule: Mapping[str, Any]

    def allows(self, request: Request) -> bool:
        asked = Attributes(
            request.verb, request.group, request.resource, request.subresource, request.namespace, request.name
        )
        return self.where in ("", request.namespace) and rule_allows(dict(self.rule), asked)

    def smaller(self) -> Iterator[tuple[str, Rule | None]]:
        """Each way to take one thing away from it: (what is missing then, the rest)."""
        for key in ("apiGroups", "resources", "verbs"):
            for value in self.rule[key]:
                rest = [other for other in self.rule[key] if other != value]
                yield f"{key[:-1]} {value!r}", Rule(self.where, {**self.rule, key: rest}) if rest else None


def events(log: Path, agent: str = AGENT) -> Iterator[Obj]:
    """The entries of one client; discovery, health and reviews of oneself are open to everybody and left out."""
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        reference = event.get("objectRef")
        if event["userAgent"] == agent and reference and reference.get("apiGroup") not in OPEN:
            yield event


def rules(documents: Iterable[Mapping[str, Any]] | None = None) -> list[Rule]:
    """The rules of a manifest, by default the one that is shipped."""
    found = []
    for obj in documents or yaml.safe_load_all(RBAC.read_text()):
        where = {"ClusterRole": "", "Role": obj["metadata"].get("namespace")}.get(obj["kind"])
        if where is not None:
            found += [Rule(where, rule) for rule in obj["rules"]]
    return found


def requests(found: Iterable[Obj], known: Iterable[Rule]) -> set[Request]:
    """The different requests among events, as far as roles can tell them apart."""
    places = {rule.where for rule in known} - {""}
    names = {name for rule in known for name in rule.rule.get("resourceNames") or ()}
    made = set()
    for event in found:
        ref = event["objectRef"]
        place, name = ref.get("namespace", ""), ref.get("name", "")
        request = Request(
            event["verb"],
            ref.get("apiGroup", ""),
            ref["resource"],
            ref.get("subresource", ""),
            place if place in places or not place else "*",
            name if name in names and place in places else "",
        )
        made.add(request)
        if request.verb == "patch" and event["responseStatus"]["code"] == 201:
            # Applying what is not there needs both verbs.
            made.add(replace(request, verb="create"))
    return made


def recorded() -> set[Request]:
    """The requests that are kept in a file."""
    return {Request(**fields) for fields in json.loads(RECORDED.read_text())} if RECORDED.exists() else set()


def refused(asked: Iterable[Request], known: Iterable[Rule]) -> list[str]:
    """The requests that no rule allows."""
    known = list(known)
    return [str(request) for request in sorted(asked) if not any(rule.allows(request) for rule in known)]


def problems(log: Path) -> list[str]:
    """What is wrong with what the harness sent: bodies that upstream does not know, requests that no role allows.

    Bodies are left alone where upstream's schemas are not at hand.
    """
    found, known = list(events(log)), rules()
    asked = requests(found, known)
    wrong = [f"deploy/rbac.yaml does not allow to {text}" for text in refused(asked, known)]
    for event in found if upstream.FOLDER.is_dir() else ():
        if event.get("requestObject") is not None:
            wrong += [f"{event['verb']} {event['requestURI']}: {text}" for text in _judged(event)]
    return sorted(set(wrong))


def _judged(event: Obj) -> list[str]:
    body, kind = event["requestObject"], event["annotations"]["virtlab.dev/content-type"]
    if kind == "application/merge-patch+json":
        ref = event["objectRef"]
        version = event["requestURI"].split("/")[3 if ref.get("apiGroup") else 2]
        api_version, name = _kinds()[ref.get("apiGroup", ""), version, ref["resource"]]
        return upstream.problems({"apiVersion": api_version, "kind": name, **body}, patch=True)
    if not isinstance(body, dict):
        return [f"a body that no schema is for: {kind}"]
    return upstream.problems(body)


@functools.cache
def _kinds() -> dict[tuple[str, str, str], tuple[str, str]]:
    """(group, version, plural) -> (apiVersion, kind)."""
    found = {(r.group, r.version, r.plural): (r.api_version, r.kind) for r in builtin.builtin_resources()}
    for crd in crdfiles.load(Path(crdfiles.__file__).parent / "crds"):
        spec = crd["spec"]
        for version in spec["versions"]:
            key = (spec["group"], version["name"], spec["names"]["plural"])
            found[key] = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
    return found
