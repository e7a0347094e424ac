"""The audit log: who asked the API for what, and with which answer; one `audit.k8s.io/v1` Event a line, as upstream's.

For people who ask what a client did, and for tests that hold every request against a role and every body against
upstream's schemas. The lab's own programs are left out: they would be nearly all of it. Secrets are told without their
bodies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from lab.embedded.apiserver.requests import Attributes, User
from lab.embedded.apiserver.store import micro_now

Obj = dict[str, Any]
MOST_BYTES = 64 * 1024 * 1024
"""A log that long is put aside as `.1`, in the place of the one before."""
_WITHOUT_BODY = frozenset([("", "secrets", ""), ("", "serviceaccounts", "token")])


class Note:
    """What is found out about one request while it is served."""

    def __init__(self) -> None:
        self.user: User | None = None
        self.asked: Attributes | None = None
        self.body: Any = None
        self.told = False


_NOTE = web.RequestKey("note", Note)


class AuditLog:
    """Appends to a file of mode 0600; without one it keeps nothing. `silent` are names of users that are left out."""

    def __init__(self, path: Path | None = None, silent: Collection[str] = ()) -> None:
        self._path = path
        self._silent = frozenset(silent)
        self._file: int | None = None

    @staticmethod
    def of(request: web.BaseRequest) -> Note:
        """The note of a request."""
        if _NOTE not in request:
            request[_NOTE] = Note()
        return request[_NOTE]

    def keep(self, request: web.BaseRequest, body: Any) -> None:
        """Take a request's body as it came: serving it changes it."""
        note = self.of(request)
        if self._wanted(note):
            note.body = json.loads(json.dumps(body))

    def _wanted(self, note: Note) -> bool:
        return self._path is not None and note.user is not None and note.user.name not in self._silent

    def started(self, request: web.BaseRequest) -> None:
        """Tell of a stream when it begins: its end may be the lab's own."""
        self._tell(request, 200, "ResponseStarted")

    def ended(self, request: web.BaseRequest, code: int) -> None:
        """Tell of a request that was answered, unless it was told as a stream."""
        self._tell(request, code, "ResponseComplete")

    def _tell(self, request: web.BaseRequest, code: int, stage: str) -> None:
        note = self.of(request)
        if note.told or not self._wanted(note):
            return
        note.told = True
        self._write(json.dumps(event(request, note, code, stage), separators=(",", ":")).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._path is not None
        if self._file is not None and os.fstat(self._file).st_size > MOST_BYTES:
            os.close(self._file)
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = None
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(self._file, line)


def event(request: web.BaseRequest, note: Note, code: int, stage: str) -> Obj:
    """The Event (staging/src/k8s.io/apiserver/pkg/apis/audit/v1/types.go)."""
    asked = note.asked or Attributes("get", path=request.path)
    with_body = note.body is not None and (asked.group, asked.resource, asked.subresource) not in _WITHOUT_BODY
    assert note.user is not None
    made: Obj = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Request" if with_body else "Metadata",
        "auditID": str(uuid4()),
        "stage": stage,
        "requestURI": request.rel_url.raw_path_qs,
        "verb": asked.verb,
        "user": note.user.info(),
        "userAgent": request.headers.get("User-Agent", ""),
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": micro_now(),
        "annotations": {"authorization.k8s.io/decision": "forbid" if code == 403 else "allow"},
    }
    if not asked.path:
        names = ("resource", "subresource", "namespace", "name")
        reference = {name: getattr(asked, name) for name in names} | {"apiGroup": asked.group}
        made["objectRef"] = {key: value for key, value in reference.items() if value}
    if with_body:
        made["requestObject"] = note.body
        made["annotations"]["virtlab.dev/content-type"] = request.headers.get("Content-Type", "")
    return made
