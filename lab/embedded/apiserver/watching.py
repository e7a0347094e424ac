"""Lists and watches: selectors, paging, the stream of changes from a version, bookmarks, 410.

A watch is fed synchronously by the store and written as soon as the event loop comes to it; it holds no copies.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.embedded.apiserver import selectors
from lab.embedded.apiserver.errors import StatusError, bad_request, expired, invalid
from lab.embedded.apiserver.history import Change
from lab.embedded.apiserver.objects import invalid_value
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.selectors import Predicate
from lab.embedded.apiserver.store import Store

Obj = dict[str, Any]
Show = Callable[[Obj], Any]
BOOKMARK_SECONDS = 60.0
MAX_PENDING = 10000
DEFAULT_WATCH_SECONDS = 1800.0
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
"""What Go reads as an int64, but for its last digit. `str.isdigit` takes more than `int` can read."""


@dataclass
class ListOptions:
    """Query parameters of a list or watch."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial: bool = False
    timeout: float = DEFAULT_WATCH_SECONDS

    @classmethod
    def read(cls, query: Mapping[str, str]) -> ListOptions:
        """Raises 400 for numbers that are none and selectors that cannot be read."""

        def number(key: str) -> int:
            text = query.get(key) or "0"
            if not _NUMBER.fullmatch(text):
                raise bad_request(
                    f'unable to convert {key}={text!r}: strconv.ParseInt: parsing "{text}": invalid syntax'
                )
            return int(text)

        def flag(key: str) -> bool:
            return query.get(key, "false").lower() in ("1", "true", "t")

        return cls(
            labels=query.get("labelSelector", ""),
            fields=query.get("fieldSelector", ""),
            limit=number("limit"),
            token=query.get("continue", ""),
            version=query.get("resourceVersion", ""),
            match=query.get("resourceVersionMatch", ""),
            watch=flag("watch"),
            bookmarks=flag("allowWatchBookmarks"),
            initial=flag("sendInitialEvents"),
            timeout=float(number("timeoutSeconds") or DEFAULT_WATCH_SECONDS),
        )

    def predicate(self, resource: Resource) -> Predicate | None:
        return selectors.both(
            selectors.label_selector(self.labels),
            selectors.field_selector(self.fields, resource.collection, resource.selectable),
        )


def read_version(text: str) -> int:
    """A resourceVersion parameter; raises 422."""
    if not _NUMBER.fullmatch(text) or text[0] in "+-":
        cause = invalid_value("resourceVersion", text, "strconv.ParseUint: invalid syntax")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])
    return int(text)


def list_page(store: Store, resource: Resource, namespace: str, options: ListOptions) -> tuple[list[Obj], Obj]:
    """(stored objects, list metadata). The continue token names the last key and the version of the first page."""
    if options.version and int(read_version(options.version)) > store.revision:
        raise _future_version(options.version, store.revision)
    matches = options.predicate(resource)
    found = [obj for obj in store.list(resource.collection, namespace) if matches is None or matches(obj)]
    meta: Obj = {"resourceVersion": str(store.revision)}
    if options.token:
        version, last = _read_token(options.token)
        meta["resourceVersion"] = version
        found = [obj for obj in found if _key(obj) > last]
    if 0 < options.limit < len(found):
        meta["remainingItemCount"] = len(found) - options.limit
        found = found[: options.limit]
        meta["continue"] = _token(meta["resourceVersion"], _key(found[-1]))
        if matches is not None:
            del meta["remainingItemCount"]
    return found, meta


def _future_version(asked: str, current: int) -> StatusError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    text = f"Too large resource version: {asked}, current: {current}"
    details = {"causes": causes, "retryAfterSeconds": 1}
    return StatusError(504, "Timeout", f"Timeout: {text}", details, {"Retry-After": "1"})


def _key(obj: Obj) -> list[str]:
    return [obj["metadata"].get("namespace", ""), obj["metadata"]["name"]]


def _token(version: str, last: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": last}).encode()).decode()


def _read_token(token: str) -> tuple[str, list[str]]:
    try:
        body = json.loads(base64.urlsafe_b64decode(token.encode()))
        return str(body["rv"]), [str(part) for part in body["start"]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


class Watch:
    """One watch on one collection. Make it, then iterate `lines()`; close it always."""

    def __init__(
        self, store: Store, resource: Resource, namespace: str, options: ListOptions, show: Show | None = None
    ) -> None:
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._options = options
        self._show = show
        self._matches = options.predicate(resource)
        self._pending: deque[Change | bytes] = deque()
        self._wake = asyncio.Event()
        self._broken = ""
        self._start()
        self._unsubscribe = store.subscribe(resource.collection, self._take)

    def _start(self) -> None:
        version = self._options.version
        number = read_version(version) if version else 0
        if number > self._store.revision:
            raise _future_version(version, self._store.revision)
        if version in ("", "0") or self._options.initial:
            for obj in self._store.list(self._resource.collection, self._namespace):
                if self._matches is None or self._matches(obj):
                    self._pending.append(self._line("ADDED", obj))
            if self._options.initial:
                self._pending.append(self._bookmark(initial=True))
            return
        for change in self._store.changes_since(self._resource.collection, number):
            self._take(change)

    def close(self) -> None:
        self._unsubscribe()

    def _take(self, change: Change) -> None:
        obj = change.obj
        if self._namespace and obj["metadata"].get("namespace") != self._namespace:
            return
        if len(self._pending) > MAX_PENDING:
            self._broken = "the watcher is too slow"
            self._pending.clear()
        self._pending.append(change)
        self._wake.set()

    def _encode(self, change: Change) -> bytes | None:
        kind = change.type
        if self._matches is not None:
            is_in = kind != "DELETED" and self._matches(change.obj)
            was_in = change.previous is not None and self._matches(change.previous)
            if not is_in and not was_in:
                return None
            kind = ("MODIFIED" if was_in else "ADDED") if is_in else "DELETED"
        if self._show is not None:
            return self._line(kind, change.obj)
        mark = f"{kind} {self._resource.api_version}"
        if mark not in change.encoded:
            change.encoded[mark] = self._line(kind, change.obj)
        return change.encoded[mark]

    def _line(self, kind: str, obj: Obj) -> bytes:
        shown = self._resource.present(obj)
        body = self._show(shown) if self._show is not None else shown
        return json.dumps({"type": kind, "object": body}, separators=(",", ":")).encode() + b"\n"

    def _bookmark(self, *, initial: bool = False) -> bytes:
        meta: Obj = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if initial:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": meta}
        return json.dumps({"type": "BOOKMARK", "object": obj}, separators=(",", ":")).encode() + b"\n"

    async def lines(self) -> AsyncIterator[bytes]:
        """Chunks of whole event lines until the watch's time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.timeout
        while True:
            chunk = []
            while self._pending:
                item = self._pending.popleft()
                line = item if isinstance(item, bytes) else self._encode(item)
                if line is not None:
                    chunk.append(line)
            if self._broken:
                yield json.dumps({"type": "ERROR", "object": expired(self._broken).body()}).encode() + b"\n"
                return
            if chunk:
                yield b"".join(chunk)
            left = end - loop.time()
            if left <= 0:
                break
            self._wake.clear()
            if self._pending:
                continue
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                if self._options.bookmarks and loop.time() < end:
                    yield self._bookmark()
        if self._options.bookmarks:
            yield self._bookmark()
