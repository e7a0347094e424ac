"""Watching: objects as they change, promptly, over lost connections and expired versions.

A thread reads the stream and queues events; whoever holds the Watch takes them one at a time, so that a wait sees each
state in turn. The stream is read apart from its timing: a socket that timed out in mid-line could not be read on.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import urllib3

from lab.access.errors import Expired, api_error
from lab.access.kinds import Obj
from lab.access.transport import Transport
from lab.core.deadline import Deadline
from lab.core.wait import Signal

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
_SERVER_ENDS_S = 240
_SILENCE_S = 300.0
_OPEN_S = 30.0


@dataclass(frozen=True)
class WatchEvent:
    """One change: `obj` is the new state, or the last one of what was deleted."""

    type: EventType
    obj: Obj


class Watch:
    """An open watch of a collection (or one object): a context manager and a `Changes` source for wait_until.

    `items` holds the objects ("namespace/name" or "name") as of the last event taken. `initial` lists the collection
    first, unless a version to start from is given.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        params: dict[str, str],
        what: str,
        *,
        resource_version: str = "",
        signal: Signal | None = None,
    ) -> None:
        self.items: dict[str, Obj] = {}
        self._transport = transport
        self._path = path
        self._params = params
        self._what = what
        self._version = resource_version
        self._signal = signal
        self._queue: queue.Queue[WatchEvent | Exception] = queue.Queue()
        self._closed = threading.Event()
        self._response: urllib3.HTTPResponse | None = None
        self._seen: dict[str, Obj] = {}
        self._thread = threading.Thread(target=self._run, name=f"watch {what}", daemon=True)

    def __enter__(self) -> Watch:
        if not self._version:
            for obj in self._list():
                self.items[key_of(obj)] = obj
        self._seen = dict(self.items)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream; the thread ends by itself."""
        self._closed.set()
        response = self._response
        if response is not None:
            with suppress(Exception):
                response.shutdown()

    def wait(self, seconds: float) -> bool:
        """Takes one event within so many seconds and applies it to `items`; False when there was none.

        Raises what ended the watch for good (ApiDown, Forbidden, ...).
        """
        return self.take(seconds) is not None

    def take(self, seconds: float) -> WatchEvent | None:
        """The next event within so many seconds, applied to `items`; None when there was none."""
        try:
            event = self._queue.get(timeout=max(0.0, seconds)) if seconds > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(event, Exception):
            self._queue.put(event)
            raise event
        if event.type == "DELETED":
            self.items.pop(key_of(event.obj), None)
        else:
            self.items[key_of(event.obj)] = event.obj
        return event

    def events(self, deadline: Deadline) -> Iterator[WatchEvent]:
        """Events until the deadline."""
        while not deadline.expired:
            event = self.take(deadline.remaining())
            if event is not None:
                yield event

    def one(self) -> Obj | None:
        """The only object of a watch by name; None when it is absent."""
        return next(iter(self.items.values()), None)

    def _list(self) -> list[Obj]:
        params = {k: v for k, v in self._params.items() if k != "watch"}
        body = self._transport.request(
            "GET", self._path, params=params, wanted=f"list {self._what}", deadline=Deadline.after(_OPEN_S)
        )
        data = json.loads(body)
        self._version = str((data.get("metadata") or {}).get("resourceVersion", ""))
        head = {"apiVersion": data.get("apiVersion", ""), "kind": str(data.get("kind", "")).removesuffix("List")}
        return [{**head, **item} for item in data.get("items") or []]

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                try:
                    self._stream()
                except Expired:
                    self._relist()
                    # A server that calls every version expired must not be asked as fast as it answers.
                    self._closed.wait(0.1)
                except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError):
                    # A stream may break anywhere, also inside a line, and a TLS socket shut down by close() fails in
                    # ways of its own; the next request tells whether the server is there.
                    self._closed.wait(0.1)
        except Exception as error:
            if not self._closed.is_set():
                self._put(error)

    def _stream(self) -> None:
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_SERVER_ENDS_S),
        }
        response = self._transport.stream(
            self._path, wanted=f"watch {self._what}", params=params, deadline=Deadline.after(_OPEN_S), read_s=_SILENCE_S
        )
        self._response = response
        try:
            # close() may have looked for a response before there was one: then nobody shut this one down.
            if self._closed.is_set():
                return
            for line in _lines(response):
                if self._closed.is_set():
                    return
                self._handle(json.loads(line))
        finally:
            response.close()

    def _handle(self, event: dict[str, Any]) -> None:
        obj = event.get("object") or {}
        if event.get("type") == "ERROR":
            raise api_error(int(obj.get("code") or 0), obj, wanted=f"watch {self._what}", where=self._transport.server)
        self._version = str((obj.get("metadata") or {}).get("resourceVersion", self._version))
        if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
            self._note(WatchEvent(event["type"], obj))

    def _note(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._seen.pop(key_of(event.obj), None)
        else:
            self._seen[key_of(event.obj)] = event.obj
        self._put(event)

    def _relist(self) -> None:
        """After 410: what changed meanwhile becomes events, deletions too."""
        now = {key_of(obj): obj for obj in self._list()}
        for key, obj in list(self._seen.items()):
            if key not in now:
                self._note(WatchEvent("DELETED", obj))
        for key, obj in now.items():
            before = self._seen.get(key)
            if before is None:
                self._note(WatchEvent("ADDED", obj))
            elif before["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                self._note(WatchEvent("MODIFIED", obj))

    def _put(self, item: WatchEvent | Exception) -> None:
        self._queue.put(item)
        if self._signal:
            self._signal.notify()


def _lines(response: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The lines of a body as soon as each is complete, chunked or not."""
    pending = b""
    chunks = response.stream(amt=None) if response.chunked else iter(lambda: response.read1(65536), b"")
    for chunk in chunks:
        pending += chunk
        *lines, pending = pending.split(b"\n")
        yield from (line for line in lines if line.strip())


def key_of(obj: Obj) -> str:
    """`namespace/name`, or `name` of what has no namespace."""
    meta = obj.get("metadata") or {}
    return f"{meta['namespace']}/{meta.get('name', '')}" if meta.get("namespace") else str(meta.get("name", ""))
