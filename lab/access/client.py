"""The harness's hand on the cluster: kubectl's words over the `kubernetes` package's connection, with our errors.

Every call takes a deadline (30 s when none is given), goes through the same retries, and names in its error what was
wanted, of which object, on which server. It knows no kind in particular: meaning lives in the rooms above.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from lab.access import kubeconfig as _kubeconfig
from lab.access.discovery import Discovery
from lab.access.errors import Conflict, NotFound
from lab.access.kinds import Kind, Obj, kind_of, name_of
from lab.access.stream import ConsoleSocket, PortForward, exec_in_pod, open_console, open_port_forward
from lab.access.transport import CALL_S, Transport
from lab.access.watch import Watch
from lab.core.deadline import Deadline
from lab.core.errors import UsageError
from lab.core.result import CommandResult
from lab.core.wait import Blame, Seen, Signal, wait_until

T = TypeVar("T")
FIELD_MANAGER = "virtlab"
PatchType = Literal["merge", "json", "strategic"]
Propagation = Literal["", "Foreground", "Background", "Orphan"]
_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Client:
    """One cluster. Make it with `Client.connect`; `server` is the API's URL."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.server = transport.server
        self.discovery = Discovery(transport)

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str = "", proxy: str = "") -> Client:
        """A client for a kubeconfig (None: KUBECONFIG, then ~/.kube/config). Talks to nobody yet.

        `proxy` is the URL of an HTTP proxy that goes before the kubeconfig's and the environment's.

        Raises UsageError: no such file, no such context, unusable content.
        """
        return cls(Transport(_kubeconfig.load(kubeconfig, context, proxy), kubeconfig or _kubeconfig.default_path()))

    def __repr__(self) -> str:
        return f"<Client {self.server}>"

    def close(self) -> None:
        """Ends idle connections; the client stays usable."""
        self.transport.close()

    def version(self, deadline: Deadline | None = None) -> str:
        """The server's gitVersion; the cheapest proof that it answers (ApiDown otherwise)."""
        body = self.transport.request("GET", "/version", wanted="the server's version", deadline=deadline)
        return str(json.loads(body).get("gitVersion", ""))

    def raw(
        self,
        method: str,
        path: str,
        *,
        wanted: str,
        params: dict[str, str] | None = None,
        body: Any = None,
        deadline: Deadline | None = None,
    ) -> bytes:
        """Any request, body as it came (subresources, pod logs). `wanted` words the error."""
        return self.transport.request(
            method, path, wanted=wanted, params=params, body=body, accept="*/*", deadline=deadline
        )

    def path(self, kind: Kind, name: str = "", namespace: str | None = None, subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        resource = self.discovery.resource(kind)
        if resource.namespaced and name and not namespace:
            raise UsageError(f"the namespace of {kind} {name}", "none was given")
        return resource.path(name, namespace, subresource)

    def serves(self, kind: Kind) -> bool:
        """Whether this cluster has the kind."""
        return self.discovery.serves(kind)

    def get(self, kind: Kind, name: str, namespace: str | None = None, *, deadline: Deadline | None = None) -> Obj:
        """Raises NotFound."""
        return self._object("GET", kind, name, namespace, "get", deadline=deadline)

    def find(
        self, kind: Kind, name: str, namespace: str | None = None, *, deadline: Deadline | None = None
    ) -> Obj | None:
        """The object, or None when it is not there."""
        try:
            return self.get(kind, name, namespace, deadline=deadline)
        except NotFound:
            return None

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        deadline: Deadline | None = None,
    ) -> list[Obj]:
        """All objects (of a namespace, or of all), read in pages; selectors as kubectl takes them."""
        items: list[Obj] = []
        params = _selectors(labels, fields) | {"limit": "500"}
        deadline = deadline or Deadline.after(CALL_S)
        while True:
            body = self.transport.request(
                "GET", self.path(kind, "", namespace), params=params, wanted=f"list {kind}", deadline=deadline
            )
            data = json.loads(body)
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in data.get("items") or []]
            token = (data.get("metadata") or {}).get("continue")
            if not token:
                return items
            params["continue"] = token

    def create(self, obj: Obj, *, dry_run: bool = False, strict: bool = False, deadline: Deadline | None = None) -> Obj:
        """Raises AlreadyExists, Invalid, Denied, Forbidden. dry_run asks the server without storing anything.

        With strict a field that the server does not know is refused, by BadRequest as for kubectl; else it is dropped.
        """
        namespace = (obj.get("metadata") or {}).get("namespace")
        params = {"fieldManager": FIELD_MANAGER, **_dry(dry_run)} | ({"fieldValidation": "Strict"} if strict else {})
        return self._object("POST", kind_of(obj), "", namespace, "create", obj, params, deadline=deadline, of=obj)

    def apply(
        self,
        obj: Obj,
        *,
        force: bool = False,
        dry_run: bool = False,
        field_manager: str = FIELD_MANAGER,
        deadline: Deadline | None = None,
    ) -> Obj:
        """Server-side apply. Raises Conflict naming the other manager, unless forced."""
        meta = obj.get("metadata") or {}
        if not meta.get("name"):
            raise UsageError(f"a name to apply {obj.get('kind')}", "metadata.name is empty", "", "use create instead")
        params = {"fieldManager": field_manager, "force": str(force).lower(), **_dry(dry_run)}
        return self._object(
            "PATCH",
            kind_of(obj),
            str(meta["name"]),
            meta.get("namespace"),
            "apply",
            obj,
            params,
            "application/apply-patch+yaml",
            deadline=deadline,
        )

    def update(self, obj: Obj, *, subresource: str = "", deadline: Deadline | None = None) -> Obj:
        """Replaces the whole object. Raises Conflict when it changed since it was read."""
        meta = obj["metadata"]
        params = {"fieldManager": FIELD_MANAGER}
        return self._object(
            "PUT",
            kind_of(obj),
            meta["name"],
            meta.get("namespace"),
            "update",
            obj,
            params,
            subresource=subresource,
            deadline=deadline,
        )

    def modify(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        change: Callable[[Obj], Obj],
        *,
        deadline: Deadline | None = None,
    ) -> Obj:
        """Reads, changes and updates, again on each conflict until the deadline."""
        deadline = deadline or Deadline.after(CALL_S)
        while True:
            try:
                return self.update(change(self.get(kind, name, namespace, deadline=deadline)), deadline=deadline)
            except Conflict:
                if deadline.expired:
                    raise

    def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        deadline: Deadline | None = None,
    ) -> Obj:
        """A merge, JSON or strategic patch."""
        params = {"fieldManager": FIELD_MANAGER, **_dry(dry_run)}
        return self._object(
            "PATCH",
            kind,
            name,
            namespace,
            "patch",
            body,
            params,
            _PATCHES[type],
            subresource=subresource,
            deadline=deadline,
        )

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        wait: Deadline | None = None,
        propagation: Propagation = "",
        missing_ok: bool = True,
    ) -> None:
        """Deletes; with `wait`, returns when the object is gone (a new one of that name counts as gone).

        Raises NotFound (missing_ok=False), WaitTimeout naming the finalizers that hold it.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions"} | (
            {"propagationPolicy": propagation} if propagation else {}
        )
        uid = ""
        try:
            if wait:
                uid = self.get(kind, name, namespace)["metadata"]["uid"]
            self._object("DELETE", kind, name, namespace, "delete", body)
        except NotFound:
            if not missing_ok:
                raise
            return
        if wait:
            self.wait_for(kind, name, namespace, "to be gone", lambda obj: _gone(obj, uid), deadline=wait)

    def watch(
        self,
        kind: Kind,
        name: str = "",
        namespace: str | None = None,
        *,
        labels: str = "",
        resource_version: str = "",
        signal: Signal | None = None,
    ) -> Watch:
        """A watch to be used with `with`: lists first (unless a version is given), then follows.

        Several watches that ring one `signal` make one source of changes for wait_until.
        """
        params = _selectors(labels, f"metadata.name={name}" if name else "")
        where = f"{kind} {namespace + '/' if namespace else ''}{name}".strip()
        path = self.path(kind, "", namespace)
        return Watch(self.transport, path, params, where, resource_version=resource_version, signal=signal)

    def wait_for(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        wanted: str,
        check: Callable[[Obj | None], Seen[T]],
        *,
        deadline: Deadline,
        hopeless: Callable[[Obj | None], str | None] | None = None,
        advice: str = "",
        blame: Blame = "product",
    ) -> T | None:
        """Waits until `check` of the object (None: absent) is met, by watch; returns the check's value.

        The last look, at the deadline, is a fresh read: a watch gone stale does not decide. Raises as wait_until.
        """
        subject = f"{kind} {namespace + '/' if namespace else ''}{name}"
        latest: list[Obj | None] = [None]
        with self.watch(kind, name, namespace) as watch:

            def observe() -> Seen[T]:
                latest[0] = self.find(kind, name, namespace) if deadline.expired else watch.one()
                return check(latest[0])

            return wait_until(
                subject,
                wanted,
                observe,
                deadline=deadline,
                changes=watch,
                hopeless=(lambda: hopeless(latest[0])) if hopeless else None,
                advice=advice,
                blame=blame,
            )

    def exec(
        self,
        pod: str,
        namespace: str,
        container: str,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """Runs a command in a container: exit status and both streams. Raises as stream.exec_in_pod."""
        return exec_in_pod(self.transport, pod, namespace, container, argv, deadline=deadline, stdin=stdin)

    def console(self, vmi: str, namespace: str, *, deadline: Deadline) -> ConsoleSocket:
        """The serial console of a VMI as a byte stream (a new one evicts the former)."""
        return open_console(self.transport, vmi, namespace, deadline=deadline)

    def port_forward(self, vmi: str, namespace: str, port: int, *, deadline: Deadline) -> PortForward:
        """A TCP stream to a port of a VMI's first interface, as a real socket (`.sock`, good for paramiko)."""
        return open_port_forward(self.transport, vmi, namespace, port, deadline=deadline)

    def logs(
        self,
        pod: str,
        namespace: str,
        container: str,
        *,
        tail: int = 200,
        previous: bool = False,
        deadline: Deadline | None = None,
    ) -> str:
        """The last lines of a container's log."""
        params = {"container": container, "tailLines": str(tail), "previous": str(previous).lower()}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        wanted = f"the log of {namespace}/{pod} ({container})"
        body = self.raw("GET", path, wanted=wanted, params=params, deadline=deadline)
        return body.decode("utf-8", "replace")

    def _object(
        self,
        method: str,
        kind: Kind,
        name: str,
        namespace: str | None,
        verb: str,
        body: Any = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        *,
        subresource: str = "",
        deadline: Deadline | None = None,
        of: Obj | None = None,
    ) -> Obj:
        """One request on one object; a retried update conflict is the caller's business (modify)."""
        shown = name_of(of) if of else f"{namespace + '/' if namespace else ''}{name}"
        data: Obj = json.loads(
            self.transport.request(
                method,
                self.path(kind, name, namespace, subresource),
                wanted=f"{verb} {kind} {shown}",
                where=f"{kind} {shown}",
                params=params,
                body=body,
                content_type=content_type,
                deadline=deadline,
            )
        )
        return data


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _gone(obj: Obj | None, uid: str) -> Seen[None]:
    if obj is None or obj["metadata"].get("uid") != uid:
        return Seen("gone", met=True)
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        return Seen("still there, not marked for deletion")
    held = ", ".join(meta.get("finalizers") or [])
    return Seen(f"deletion asked at {meta['deletionTimestamp']}, held by {held or 'its grace period'}")
