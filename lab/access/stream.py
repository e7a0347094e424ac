"""Streams through the API server: exec in a pod, a VMI's serial console, a VMI's port.

exec speaks the channel protocol (v5/v4.channel.k8s.io); console and port-forward speak KubeVirt's plain.kubevirt.io:
binary frames are data, text frames are nothing, no channel byte (kubevirt client-go .../core/v1/websocket.go).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import websocket

from lab.access.transport import Transport
from lab.access.websocket import open_websocket
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EndlessOutput, EnvironmentTimeout, Inconclusive, ToolMissing
from lab.core.numerals import whole
from lab.core.result import MOST_OUTPUT, CommandResult

_PLAIN = ["plain.kubevirt.io"]
_CHANNELS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_UNREAD = 4 << 20
"""Bytes kept of a console that nobody reads just now."""
_VMI = "/apis/subresources.kubevirt.io/v1/namespaces/{}/virtualmachineinstances/{}"


def exec_in_pod(
    transport: Transport,
    pod: str,
    namespace: str,
    container: str,
    argv: Sequence[str],
    *,
    deadline: Deadline,
    stdin: bytes | None = None,
) -> CommandResult:
    """Runs argv (no shell) in a container to its end; both streams apart, exit status exact.

    Raises EnvironmentTimeout (with the output so far), Inconclusive (the stream ended without an exit status),
    ToolMissing (no such program in the container), ApiError, ApiDown.
    """
    place = f"pod {namespace}/{pod} ({container})"
    with trace.span("command", place, " ".join(argv), limit=deadline.remaining()):
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query += [("stdin", "true")] if stdin is not None else []
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?" + urlencode(query + [("command", a) for a in argv])
        wanted = f"run {argv[0]} in {place}"
        ws = open_websocket(
            transport, path, subprotocols=_CHANNELS, wanted=wanted, where=f"Pod {namespace}/{pod}", deadline=deadline
        )
        try:
            return _Exec(ws, tuple(argv), place, deadline).run(stdin)
        finally:
            _close(ws)


class _Exec:
    """One exec session until its status arrived."""

    def __init__(self, ws: Any, argv: tuple[str, ...], place: str, deadline: Deadline) -> None:
        self._ws = ws
        self._argv = argv
        self._place = place
        self._deadline = deadline
        self._start = time.monotonic()
        self._streams: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _ERROR: bytearray()}

    def run(self, stdin: bytes | None) -> CommandResult:
        if stdin is not None:
            try:
                self._send_stdin(stdin)
            except (websocket.WebSocketException, OSError) as error:
                return self._end(str(error) or type(error).__name__)
        while True:
            self._ws.settimeout(max(0.01, self._deadline.remaining()))
            try:
                opcode, data = self._ws.recv_data(control_frame=False)
            except (websocket.WebSocketTimeoutException, TimeoutError):
                raise self._timeout() from None
            except (websocket.WebSocketException, OSError) as error:
                return self._end(str(error) or type(error).__name__)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return self._end("the stream was closed")
            if opcode in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) and data[:1]:
                stream = self._streams.setdefault(data[0], bytearray())
                stream.extend(data[1:])
                if len(stream) > MOST_OUTPUT:
                    raise EndlessOutput(self._argv[0], self._place, stream)
            if self._deadline.expired:
                raise self._timeout()

    def _send_stdin(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            self._ws.send_binary(bytes([_STDIN]) + data[at : at + 16384])
        if self._ws.subprotocol == _CHANNELS[0]:
            # Only v5 can say that stdin ends; with v4 a program that reads to the end waits for our deadline.
            self._ws.send_binary(bytes([_CLOSE, _STDIN]))

    def _result(self, code: int) -> CommandResult:
        out, err = (self._streams[n].decode("utf-8", "replace") for n in (_STDOUT, _STDERR))
        return CommandResult(self._argv, self._place, code, out, err, time.monotonic() - self._start)

    def _end(self, why: str) -> CommandResult:
        raw = bytes(self._streams[_ERROR])
        try:
            status = json.loads(raw)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            so_far = self._result(-1)
            raise Inconclusive(
                f"the exit status of {self._argv[0]!r}",
                f"the stream ended without one ({why}); output so far: {so_far.output[-500:]!r}",
                self._place,
                "repeat it; if it stays so, look at the node's kubelet",
            )
        if status.get("status") == "Success":
            return self._result(0)
        causes = (status.get("details") or {}).get("causes") or []
        codes = [c.get("message") for c in causes if c.get("reason") == "ExitCode"]
        code = whole(str(codes[0])) if codes else None
        if status.get("reason") == "NonZeroExitCode" and code is not None:
            return self._result(code)
        raise ToolMissing(
            f"run {self._argv[0]!r}",
            str(status.get("message") or raw.decode("utf-8", "replace")),
            self._place,
            "does the container have this program?",
        )

    def _timeout(self) -> EnvironmentTimeout:
        so_far = self._result(-1)
        return EnvironmentTimeout(
            f"{self._argv[0]} in {self._place}",
            "the command to end",
            last=f"still running; output so far: {so_far.output[-1000:]!r}",
            elapsed=so_far.seconds,
            advice="a longer deadline, or a command that ends by itself",
        )


class ConsoleClosed(Exception):
    """The console's connection ended: the guest stopped or moved, or another client took it; all look alike."""


class ConsoleSocket:
    """A byte stream to a serial console. A thread reads, so that time-outs never cut a frame.

    Of what a guest prints while nobody asks, the last megabytes are kept.
    """

    def __init__(self, ws: Any, where: str) -> None:
        self._ws = ws
        self.where = where
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._news = threading.Condition()
        ws.settimeout(None)
        threading.Thread(target=self._read, name=f"console {where}", daemon=True).start()

    def _read(self) -> None:
        with suppress(websocket.WebSocketException, OSError, ValueError, AttributeError):
            while True:
                opcode, data = self._ws.recv_data(control_frame=False)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    break
                if opcode == websocket.ABNF.OPCODE_BINARY and data:
                    self._keep(bytes(data))
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _keep(self, piece: bytes) -> None:
        with self._news:
            self._pieces.append(piece)
            self._size += len(piece)
            while self._size > _UNREAD and len(self._pieces) > 1:
                self._size -= len(self._pieces.popleft())
            self._news.notify_all()

    def send(self, data: bytes) -> None:
        """Raises ConsoleClosed."""
        try:
            self._ws.send_binary(data)
        except (websocket.WebSocketException, OSError) as error:
            raise ConsoleClosed(f"{self.where}: {error}") from error

    def recv(self, seconds: float) -> bytes:
        """What arrives within so many seconds, b"" when nothing does. Raises ConsoleClosed."""
        with self._news:
            self._news.wait_for(lambda: self._pieces or self._ended, timeout=max(0.001, seconds))
            if self._pieces:
                data = self._pieces.popleft()
                self._size -= len(data)
                return data
            if self._ended:
                raise ConsoleClosed(f"{self.where}: the connection ended")
            return b""

    def close(self) -> None:
        _close(self._ws)


def open_console(transport: Transport, vmi: str, namespace: str, *, deadline: Deadline) -> ConsoleSocket:
    """Raises BadRequest ("VMI is not running"), NotFound, ApiDown; nothing is replayed of what was said before."""
    where = f"VirtualMachineInstance {namespace}/{vmi}"
    path = _VMI.format(namespace, vmi) + "/console"
    ws = open_websocket(
        transport, path, subprotocols=_PLAIN, wanted=f"the console of {where}", where=where, deadline=deadline
    )
    return ConsoleSocket(ws, where)


class PortForward:
    """A TCP stream through the API server as a real socket: `sock` is one end of a pair, two threads carry the rest."""

    def __init__(self, ws: Any, where: str) -> None:
        self._ws = ws
        self.where = where
        self.sock, self._inner = socket.socketpair()
        ws.settimeout(None)
        threading.Thread(target=self._to_local, name=f"port-forward in {where}", daemon=True).start()
        threading.Thread(target=self._to_remote, name=f"port-forward out {where}", daemon=True).start()

    def _to_local(self) -> None:
        with suppress(websocket.WebSocketException, OSError, ValueError, AttributeError):
            while True:
                # Reading also answers the server's pings, sent each second with a 60 s limit.
                opcode, data = self._ws.recv_data(control_frame=False)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    break
                if opcode == websocket.ABNF.OPCODE_BINARY:
                    self._inner.sendall(data)
        with suppress(OSError):
            self._inner.shutdown(socket.SHUT_WR)

    def _to_remote(self) -> None:
        with suppress(websocket.WebSocketException, OSError):
            while data := self._inner.recv(16384):
                self._ws.send_binary(data)
        _close(self._ws)
        self._inner.close()

    def close(self) -> None:
        """Ends both sides."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        _close(self._ws)


def open_port_forward(transport: Transport, vmi: str, namespace: str, port: int, *, deadline: Deadline) -> PortForward:
    """Dialled by the cluster to the VMI's first interface (KubeVirt virt-api rest/dialers.go).

    Raises BadRequest (no interface), ServerError (dialling failed), Conflict (paused), NotFound, ApiDown.
    """
    where = f"VirtualMachineInstance {namespace}/{vmi}"
    path = _VMI.format(namespace, vmi) + f"/portforward/{port}/tcp"
    ws = open_websocket(
        transport, path, subprotocols=_PLAIN, wanted=f"port {port} of {where}", where=where, deadline=deadline
    )
    return PortForward(ws, f"{where} port {port}")


def _close(ws: Any) -> None:
    """Without waiting for the peer: a shutdown wakes the reading thread, which a close() alone does not."""
    sock = ws.sock
    if sock is None:
        return
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()
    ws.shutdown()
