"""Where a kind lives in the API: asked once per group and version, and again when a kind is not in the answer.

A CRD may be installed while we run, so "no such kind" is never remembered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.access.errors import KindMissing, NotFound
from lab.access.kinds import Kind
from lab.access.transport import Transport
from lab.core.deadline import Deadline

_OPERATORS = {
    "kubevirt.io": "install KubeVirt (OpenShift Virtualization)",
    "nmstate.io": "install the kubernetes-nmstate operator",
    "k8s.cni.cncf.io": "install Multus",
}


@dataclass(frozen=True)
class Resource:
    """`base` is /api/v1 or /apis/<group>/<version>; `plural` the collection; whether objects have a namespace."""

    base: str
    plural: str
    namespaced: bool

    def path(self, name: str = "", namespace: str | None = None, subresource: str = "") -> str:
        """The URL path of the collection (no name), an object, or its subresource."""
        parts = [self.base]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        return "/".join(part for part in [*parts, name, subresource] if part)


class Discovery:
    """Kind -> Resource, through one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[Kind, Resource] = {}

    def resource(self, kind: Kind, deadline: Deadline | None = None) -> Resource:
        """Raises KindMissing (an OperatorMissing) naming what the group serves instead."""
        if kind not in self._known:
            self._load(kind, deadline)
        if kind not in self._known:
            served = sorted(k.kind for k in self._known if k.api_version == kind.api_version)
            raise self._missing(kind, f"{kind.api_version} serves only {', '.join(served) or 'nothing'}")
        return self._known[kind]

    def serves(self, kind: Kind, deadline: Deadline | None = None) -> bool:
        """Whether the cluster has this kind now."""
        try:
            self.resource(kind, deadline)
        except KindMissing:
            return False
        return True

    def versions(self, kind: Kind, deadline: Deadline | None = None) -> tuple[str, ...]:
        """Every apiVersion of its group that has a kind of that name, the server's favourite first; maybe none."""
        group, slash, _ = kind.api_version.partition("/")
        if not slash:
            return (kind.api_version,) if self.serves(kind, deadline) else ()
        try:
            body = self._transport.request(
                "GET", f"/apis/{group}", wanted=f"the versions of {group}", deadline=deadline
            )
        except NotFound:
            return ()
        found = [str(entry.get("groupVersion", "")) for entry in json.loads(body).get("versions") or []]
        return tuple(version for version in found if self.serves(Kind(version, kind.kind), deadline))

    def _load(self, kind: Kind, deadline: Deadline | None) -> None:
        base = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
        try:
            body = self._transport.request("GET", base, wanted=f"the kind {kind.kind}", deadline=deadline)
        except NotFound as error:
            raise self._missing(kind, f"the cluster does not serve {kind.api_version}") from error
        for entry in json.loads(body).get("resources") or []:
            name = str(entry.get("name", ""))
            if "/" not in name:
                found = Kind(kind.api_version, str(entry.get("kind", "")))
                self._known[found] = Resource(base, name, bool(entry.get("namespaced")))

    def _missing(self, kind: Kind, found: str) -> KindMissing:
        group = kind.api_version.partition("/")[0]
        return KindMissing(
            f"the kind {kind.kind} ({kind.api_version})",
            self._transport.server,
            status=404,
            reason="NotFound",
            found=found,
            advice=_OPERATORS.get(group, "install what serves this kind, or correct apiVersion and kind"),
        )
