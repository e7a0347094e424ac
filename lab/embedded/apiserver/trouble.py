"""What ails an API server in the field: slow, overloaded, failing, forgetful, stale, by a wrong clock, its certificate
expired. It meets every client alike, the lab's own operators and nodes too.

A file says what the server is to suffer from; SIGHUP makes it read the file and write what it took in beside it. It
must not know who a request is from or what it is about, beyond that a watch is a watch.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.embedded.apiserver import clock, errors
from lab.embedded.apiserver.pki import DEFAULT_SANS, Authority, Pki

log = logging.getLogger(__name__)
FILE, TAKEN, PIDFILE = (Path(f"/run/apiserver.{name}") for name in ("trouble", "taken", "pid"))
OVERLOADED = "too many requests, please try again later"
"""k8s.io/apiserver pkg/server/filters/maxinflight.go; with Retry-After: 1 as there."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trouble:
    """The middleware; ``settings`` is name -> number, as the faults of the API have them."""

    def __init__(self) -> None:
        self.settings: Mapping[str, float] = {}
        self._asked = 0
        self._kept: dict[tuple[str, str], tuple[float, bytes, Mapping[str, str]]] = {}
        self._open: dict[int, web.Request] = {}

    def take(self, settings: Mapping[str, float]) -> None:
        """Suffer from these from now on, and from nothing else. Watches that are open are dropped if they are to be."""
        self.settings = dict(settings)
        self._kept.clear()
        clock.set_offset(timedelta(seconds=self.settings.get("clock-skew", 0)))
        if "watch-dropped" in self.settings:
            for request in list(self._open.values()):
                self._abort(request)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer as a server in such trouble does."""
        watching = request.query.get("watch", "") in ("1", "true", "t")
        try:
            await self._meet(watching and request.query.get("resourceVersion", "") not in ("", "0"))
        except errors.StatusError as error:
            return _status(error)
        if watching:
            return await self._watch(request, handler)
        if request.method == "GET" and "stale-reads" in self.settings and "upgrade" not in request.headers:
            return await self._stale(request, handler)
        return await handler(request)

    async def _meet(self, since: bool) -> None:
        """Wait, or raise StatusError: for a share of the requests, spread evenly. ``since``: a watch from a version."""
        if ms := self.settings.get("api-latency"):
            await asyncio.sleep(ms / 1000)
        self._asked += 1
        if self._due("api-429"):
            raise errors.StatusError(429, "TooManyRequests", OVERLOADED, {"retryAfterSeconds": 1})
        if self._due("api-500"):
            raise errors.internal("etcdserver: request timed out")
        if since and self._due("watch-410"):
            raise errors.expired("The resourceVersion for the provided watch is too old.")

    def _due(self, name: str) -> bool:
        share = int(self.settings.get(name, 0))
        return self._asked * share // 100 > (self._asked - 1) * share // 100

    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._open[id(request)] = request
        seconds = self.settings.get("watch-dropped")
        timer = asyncio.get_running_loop().call_later(seconds, self._abort, request) if seconds else None
        try:
            return await handler(request)
        finally:
            del self._open[id(request)]
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _abort(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()

    async def _stale(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer that the same question had so many seconds ago at most."""
        key, now = (request.path_qs, request.headers.get("Accept", "")), asyncio.get_running_loop().time()
        at, body, headers = self._kept.get(key, (0.0, b"", {}))
        if headers and now - at < self.settings["stale-reads"]:
            return web.Response(body=body, headers=headers)
        answer = await handler(request)
        if isinstance(answer, web.Response) and answer.status == 200 and isinstance(answer.body, bytes):
            kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type", "Cache-Control", "Warning")}
            self._kept[key] = (now, answer.body, kept)
        return answer


def _status(error: errors.StatusError) -> web.Response:
    headers = {"Retry-After": str(s)} if (s := error.details.get("retryAfterSeconds")) else {}
    return web.json_response(error.body(), status=error.code, headers=headers)


def obey(trouble: Trouble, context: ssl.SSLContext, pki: Pki) -> None:
    """Take settings from the file on SIGHUP, and say where this process is. To be called in the running loop."""

    def take() -> None:
        try:
            found: dict[str, Any] = json.loads(FILE.read_text() or "{}")
            settings = {str(name): float(number) for name, number in found.items()}
            _certificate(context, pki, days=settings.get("certificate-expired", 0))
            trouble.take(settings)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("what %s says is not taken: %s", FILE, error)
            return
        log.warning("in trouble: %s", settings or "none")
        TAKEN.write_text(json.dumps(found, sort_keys=True))

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, take)
    PIDFILE.write_text(f"{os.getpid()}\n")


def _certificate(context: ssl.SSLContext, pki: Pki, *, days: float) -> None:
    """New connections are shown this lab's certificate, or one that expired so many days ago."""
    if not days:
        context.load_cert_chain(pki.server_cert, pki.server_key)
        return
    authority = Authority.load(pki.ca, pki.ca_key)
    pair = authority.issue("kube-apiserver", sans=DEFAULT_SANS, expired=timedelta(days=days))
    with tempfile.TemporaryDirectory(dir=pki.server_key.parent) as folder:
        certificate, key = Path(folder, "crt"), Path(folder, "key")
        certificate.write_bytes(pair[0])
        key.write_bytes(pair[1])
        context.load_cert_chain(certificate, key)
