"""HTTP entry points of the pods of one node, as a kubelet has them: exec, attach, logs, a way to dial out of a pod."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from lab.embedded.host import netns as namespaces
from lab.embedded.kube import Informer
from lab.embedded.node.channels import PROTOCOLS
from lab.embedded.node.containers import environment, follow, parse
from lab.embedded.node.execution import Command, attach, serve
from lab.embedded.node.podstatus import ContainerState
from lab.embedded.node.podworker import PodWorker
from lab.embedded.node.virtroutes import refusal
from lab.embedded.reading import whole

log = logging.getLogger(__name__)
Obj = dict[str, Any]
DIAL_SECONDS = 10.0
DATAGRAM = 65507
MOST_BYTES = 16 << 20
"""Of one message, which is held in memory whole."""


class PodRoutes:
    """Handlers over the live pods of a node; ``path`` gives PATH for commands."""

    def __init__(self, pods: Informer, workers: Mapping[str, PodWorker], path: Callable[[], str]) -> None:
        self.pods, self.workers, self.path = pods, workers, path

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/exec/{ns}/{pod}/{container}", self.exec),
            web.post("/exec/{ns}/{pod}/{container}", self.exec),
            web.get("/attach/{ns}/{pod}/{container}", self.attach),
            web.post("/attach/{ns}/{pod}/{container}", self.attach),
            web.get("/logs/{ns}/{pod}/{container}", self.logs),
            web.get("/dial/{ns}/{pod}", self.dial),
        ]

    def _worker(self, request: web.Request) -> PodWorker | web.Response:
        ns, name = request.match_info["ns"], request.match_info["pod"]
        pod = self.pods.items.get(f"{ns}/{name}")
        worker = self.workers.get(pod["metadata"]["uid"]) if pod else None
        if worker is None:
            return refusal(404, "NotFound", f'pods "{name}" not found')
        container = request.match_info.get("container")
        if container is not None and worker.state(container) is None:
            return refusal(404, "NotFound", f'container not found ("{container}")')
        return worker

    def _running(self, request: web.Request) -> tuple[PodWorker, Obj] | web.Response:
        worker = self._worker(request)
        if isinstance(worker, web.Response):
            return worker
        name = request.match_info["container"]
        state = worker.state(name)
        if state is None or not state.running:
            return refusal(500, "InternalError", f'container not found ("{name}")')
        return worker, next(c for c in worker.pod["spec"]["containers"] if c["name"] == name)

    async def exec(self, request: web.Request) -> web.StreamResponse:
        found = self._running(request)
        if isinstance(found, web.Response):
            return found
        worker, container = found
        command = _command(request)
        if not command.argv:
            return refusal(400, "BadRequest", "you must specify a command for the container")
        ws = await _upgraded(request)
        if ws.ws_protocol is not None:
            env = environment(container, worker.pod, self.path())
            await serve(ws, ws.ws_protocol, command, worker.place(container), env)
        return ws

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """Join the container's own process; one whose program runs elsewhere has none."""
        found = self._running(request)
        if isinstance(found, web.Response):
            return found
        worker, container = found
        process = worker.process(container["name"])
        if process is None:
            return refusal(500, "InternalError", f'container "{container["name"]}" has no process to attach to')
        command = _command(request)
        ws = await _upgraded(request)
        if ws.ws_protocol is not None:
            await attach(ws, ws.ws_protocol, command, process)
        return ws

    async def logs(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        if isinstance(worker, web.Response):
            return worker
        name = request.match_info["container"]
        state = worker.state(name)
        file = worker.log_file(name).path
        query = request.query
        if query.get("previous", "") in ("1", "true"):
            text = f'previous terminated container "{name}" in pod "{worker.name}" not found'
            return refusal(400, "BadRequest", text)
        if state is None or not state.started:
            text = f'container "{name}" in pod "{worker.name}" is waiting to start: ContainerCreating'
            return refusal(400, "BadRequest", text)
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        file.touch()
        # A follower that leaves is no error.
        with contextlib.suppress(ConnectionError):
            await _stream(answer, file, _Shown(query), state, follows=query.get("follow", "") in ("1", "true"))
            await answer.write_eof()
        return answer

    async def dial(self, request: web.Request) -> web.StreamResponse:
        """One TCP or UDP stream from inside the pod over binary websocket messages."""
        worker = self._worker(request)
        if isinstance(worker, web.Response):
            return worker
        host, proto = request.query.get("host", ""), request.query.get("proto", "tcp")
        try:
            port = int(request.query.get("port", ""))
            if not host or not 0 < port < 65536 or proto not in ("tcp", "udp"):
                raise ValueError
        except ValueError:
            wanted = "wanted host, port 1-65535 and proto tcp or udp"
            return refusal(400, "BadRequest", f"{wanted}, found {request.query_string!r}")
        try:
            sock = await _connect(worker.netns, host, port, proto)
        except (OSError, TimeoutError) as error:
            cause = error if str(error) else "i/o timeout"
            return refusal(500, "InternalError", f"dialing VM: dial {proto} {host}:{port}: {cause}")
        ws = web.WebSocketResponse(protocols=("plain.kubevirt.io",), max_msg_size=MOST_BYTES)
        with sock:
            await ws.prepare(request)
            await relay(ws, sock, udp=proto == "udp")
        return ws


def _command(request: web.Request) -> Command:
    """What the client asks for. Raises HTTPBadRequest."""

    def wanted(key: str) -> bool:
        return request.query.get(key, "").lower() in ("1", "true")

    argv = request.query.getall("command", [])
    command = Command(argv, wanted("stdin"), wanted("stdout"), wanted("stderr"), wanted("tty"))
    if not (command.stdin or command.stdout or command.stderr):
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return command


async def _upgraded(request: web.Request) -> web.WebSocketResponse:
    """The client's websocket, closed and without protocol when it speaks none that is known here."""
    ws = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=MOST_BYTES)
    await ws.prepare(request)
    if ws.ws_protocol is None:
        text = f"unable to upgrade: wanted one of {', '.join(PROTOCOLS)}"
        await ws.close(code=1002, message=text.encode())
    return ws


class _Shown:
    """Which lines of a log a client gets, and how."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.timestamps = query.get("timestamps", "") in ("1", "true")
        seconds = whole(query.get("sinceSeconds", ""))
        self.since = 0.0 if seconds is None else time.time() - seconds
        self.count = whole(query.get("tailLines", ""))
        self.left = whole(query.get("limitBytes", ""))

    @property
    def full(self) -> bool:
        return self.left == 0

    def tail(self, lines: list[bytes]) -> list[bytes]:
        chosen = lines if self.count is None else lines[max(0, len(lines) - self.count) :]
        return [text for raw in chosen if (text := self.line(raw)) is not None]

    def line(self, raw: bytes) -> bytes | None:
        parsed = parse(raw)
        if parsed is None or self.full:
            return None
        stamp, text = parsed
        if self.since and _seconds(stamp) < self.since:
            return None
        if self.timestamps:
            text = stamp.encode() + b" " + text
        if self.left is not None:
            text = text[: self.left]
            self.left -= len(text)
        return text


async def _stream(
    answer: web.StreamResponse, file: Path, shown: _Shown, state: ContainerState, *, follows: bool
) -> None:
    lines = file.read_bytes().split(b"\n")
    for line in shown.tail(lines[:-1]):
        await answer.write(line)
    if not follows:
        return
    count = 0
    async for raw in follow(file, running=lambda: state.running):
        if shown.full:
            return
        count += 1
        text = shown.line(raw) if count >= len(lines) else None
        if text is not None:
            await answer.write(text)


def _seconds(stamp: str) -> float:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(f"{stamp[:26]}+00:00").timestamp()
    return 0.0


async def _connect(netns: str | None, host: str, port: int, proto: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM

    def make() -> socket.socket:
        return socket.socket(family, kind)

    sock = make() if netns is None else await namespaces.call_in(netns, make)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(DIAL_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def relay(ws: web.WebSocketResponse, sock: socket.socket, *, udp: bool) -> None:
    """A connected socket over binary messages, until one side ends; what does not arrive any more is no error."""
    loop = asyncio.get_running_loop()

    async def back() -> None:
        with contextlib.suppress(OSError):
            while (data := await loop.sock_recv(sock, DATAGRAM)) or udp:
                await ws.send_bytes(data)
        await ws.close()

    backward = asyncio.create_task(back())
    try:
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                await loop.sock_sendall(sock, message.data)
    except OSError:
        # A datagram that is too long for one, too.
        pass
    finally:
        backward.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await backward
