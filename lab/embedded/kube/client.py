"""Requests to the Kubernetes API: one connection pool, short bounded retries, typed errors.

It knows paths, bodies and errors; it keeps no copy of any object (that is the informers' work).
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

import aiohttp

from lab.embedded.kube import events, told
from lab.embedded.kube.errors import KubeError
from lab.embedded.model.kinds import EVENT, Kind

Obj = dict[str, Any]
Objs = list[Obj]  # inside the class `list` is the method
PatchType = Literal["merge", "json", "strategic", "apply"]

RETRY_SECONDS = 10.0
PAUSE_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
REQUEST_SECONDS = 30.0
WATCH_SECONDS = 300

CONTENT_TYPES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


def _tls(ca: Path | None) -> ssl.SSLContext:
    # With a CA file the system's store is not loaded at all: it costs 20-40 ms per process.
    if ca is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(ca))
    return context


class Kube:
    """Asynchronous API client.

    `server` is `https://host:port`; `ca` is a PEM file that must have signed the server's certificate. Connection
    loss and answers 429, 500, 502, 503, 504 are retried for at most 10 s in all, honouring Retry-After; POST is retried
    only when the server said that it did nothing (429, 503) or was never reached. All methods raise `KubeError`.
    """

    def __init__(self, server: str, *, token: str, ca: Path | None, user_agent: str, host: str = "") -> None:
        self.server = server.rstrip("/")
        self.user_agent = user_agent
        self.host = host
        """The node this client acts for: events name it as their source, as a kubelet's do."""
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": user_agent, "Accept": "application/json"}
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None
        self._watched: set[aiohttp.ClientResponse] = set()
        self._repeats = events.Repeats()
        self._states = told.States()

    def session(self) -> aiohttp.ClientSession:
        """The pool, made on first use inside the running loop."""
        if self._session is None or self._session.closed:
            ssl_context: ssl.SSLContext | bool = _tls(self._ca) if self.server.startswith("https") else False
            connector = aiohttp.TCPConnector(ssl=ssl_context, limit=0, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self._session

    def apart(self) -> Kube:
        """A client for the same server, with connections of its own."""
        other = copy.copy(self)
        other._session, other._watched = None, set()
        return other

    async def close(self) -> None:
        """Close every connection, watches included; the next request makes new ones."""
        for answer in self._watched:
            # aiohttp closes the connection of an answer that is being read and does not tell the reader.
            answer.content.set_exception(aiohttp.ClientConnectionError("closed here"))
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        answer: Obj = await self.raw("GET", kind.path(namespace, name))
        return answer

    async def list(self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "") -> Objs:
        """All matching objects, each with its apiVersion and kind; `namespace=None` means every namespace."""
        items, _version = await self.list_at(kind, namespace, labels=labels, fields=fields)
        return items

    async def list_at(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[Objs, str]:
        """As `list`, with the resourceVersion of the snapshot, from which a watch may go on."""
        body: Obj = await self.raw("GET", kind.path(namespace), params=_selectors(labels, fields))
        items: Objs = body.get("items") or []
        for item in items:
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return items, str(body.get("metadata", {}).get("resourceVersion", ""))

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Create; the namespace is the object's own, apiVersion and kind are filled in when absent."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        answer: Obj = await self.raw("POST", kind.path(_namespace(obj)), body=body)
        return answer

    async def update(self, kind: Kind, obj: Obj, *, subresource: str = "") -> Obj:
        """Replace; with a resourceVersion in the object a change in between raises a Conflict."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = kind.path(_namespace(obj), obj["metadata"]["name"], subresource)
        answer: Obj = await self.raw("PUT", path, body=body)
        self._states.wrote(kind, _namespace(obj), obj["metadata"]["name"], body)
        return answer

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
    ) -> Obj:
        """Patch; `apply` is server-side apply with `force` and needs a field manager (default: the user agent)."""
        params: dict[str, str] = {}
        if field_manager or type == "apply":
            params["fieldManager"] = field_manager or self.user_agent
        if type == "apply":
            params["force"] = "true"
            body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        path = kind.path(namespace, name, subresource)
        answer: Obj = await self.raw("PATCH", path, body=body, params=params, content_type=CONTENT_TYPES[type])
        self._states.wrote(kind, namespace, name, body)
        return answer

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "",
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Ask for deletion; returns when it was accepted, not when finalizers are done. 404 raises, as any error."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        await self.raw("DELETE", kind.path(namespace, name), body=options)

    async def event(self, regarding: Obj, type: str, reason: str, message: str, component: str) -> None:
        """Record a v1 Event about an object, in its namespace (`default` for cluster-scoped ones).

        One that this process recorded already is counted up. The event is an aside: a refusal (a namespace that is
        going away) is not the caller's failure and is dropped.
        """
        body = events.body(regarding, type, reason, message, component, self.host)
        name, count = self._repeats.note(body)
        told.event(body)
        try:
            if count > 1:
                again = {"count": count, "lastTimestamp": body["lastTimestamp"]}
                try:
                    await self.patch(EVENT, name, body["metadata"]["namespace"], again)
                    return
                except KubeError as refusal:
                    if refusal.status != 404:
                        raise
            await self.create(EVENT, {**body, "metadata": {**body["metadata"], "name": name}, "count": count})
        except KubeError as refusal:
            if refusal.status in (0, 401):
                raise

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request and return the decoded JSON answer (`None` for an empty one, text for another type)."""
        deadline = time.monotonic() + RETRY_SECONDS
        for attempt in range(1000):
            try:
                return await self._once(method, path, body, params, content_type)
            except KubeError as refusal:
                pause = _retry_pause(method, refusal, attempt)
                if pause is None or time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the deadline ends the loop")

    async def _once(
        self, method: str, path: str, body: Any, params: Mapping[str, str] | None, content_type: str
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        try:
            async with self.session().request(
                method, self.server + path, data=data, params=params, headers=headers, timeout=timeout
            ) as answer:
                raw = await answer.read()
                if answer.status >= 400:
                    error = KubeError.from_answer(answer.status, raw)
                    error.body.setdefault("retryAfter", answer.headers.get("Retry-After", ""))
                    raise error
                if not raw:
                    return None
                return json.loads(raw) if "json" in answer.content_type else raw.decode("utf-8", "replace")
        except aiohttp.ClientConnectorError as lost:
            raise KubeError(0, "Unreachable", f"cannot connect to {self.server}: {lost}", {"sent": False}) from lost
        except (aiohttp.ClientError, TimeoutError) as lost:
            text = f"{method} {path}: connection to {self.server} was lost: {lost or type(lost).__name__}"
            raise KubeError(0, "Unreachable", text, {"sent": True}) from lost

    async def watch(
        self, kind: Kind, namespace: str | None, version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Obj]]:
        """One watch connection from a resourceVersion: pairs (ADDED|MODIFIED|DELETED|BOOKMARK, object).

        Ends quietly when the server closes it (its time is up) or the connection is lost: the caller goes on from the
        last resourceVersion. Raises `KubeError` for refusals, 410 `Expired` included: then list again.
        """
        params = {
            **_selectors(labels, fields),
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=WATCH_SECONDS + 30)
        try:
            async with self.session().get(self.server + kind.path(namespace), params=params, timeout=timeout) as answer:
                if answer.status >= 400:
                    raise KubeError.from_answer(answer.status, await answer.read())
                self._watched.add(answer)
                try:
                    async for line in _lines(answer.content):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise KubeError.from_status(event["object"])
                        yield event["type"], event["object"]
                finally:
                    self._watched.discard(answer)
        except (aiohttp.ClientError, TimeoutError):
            return


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # StreamReader's own line iteration refuses lines over 128 KiB; an object may be bigger.
    rest = b""
    async for chunk in content.iter_any():
        rest += chunk
        if b"\n" not in chunk:
            continue
        *whole, rest = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield line


def _selectors(labels: str, fields: str) -> dict[str, str]:
    pairs = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in pairs.items() if value}


def _namespace(obj: Obj) -> str | None:
    value: str | None = obj.get("metadata", {}).get("namespace")
    return value


def _retry_pause(method: str, refusal: KubeError, attempt: int) -> float | None:
    """Seconds to wait before the next attempt, or None when another attempt would be wrong or useless."""
    pause = PAUSE_SECONDS[min(attempt, len(PAUSE_SECONDS) - 1)]
    if refusal.status == 0:
        safe = method != "POST" or not refusal.body.get("sent", True)
        return pause if safe else None
    seconds = str(refusal.body.get("retryAfter") or refusal.body.get("details", {}).get("retryAfterSeconds") or "")
    if refusal.status in (429, 503):
        # An eviction that a budget or a migration holds up is a 429 with a cause of its own: the caller decides.
        if refusal.status == 429 and not seconds:
            return None
        return min(float(seconds), RETRY_SECONDS) if seconds.isdigit() else pause
    return pause if refusal.status in (500, 502, 504) and method != "POST" and attempt < 3 else None
