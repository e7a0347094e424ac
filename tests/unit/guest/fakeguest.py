"""A guest as a console client sees it: a getty and a real shell on a real pty, behind a real websocket server.

The getty asks for login and password as agetty and login do. The pty outlives connections, as a guest does; a newer
connection cuts the older without a close frame, as KubeVirt does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from aiohttp import WSMsgType, web

GETTY = Path(__file__).with_name("getty.py")


class FakeGuest:
    """`url` is the API server's; every path is the console. Use with `with`."""

    def __init__(self, shell: list[str], user: str = "", password: str = "secret", *, banner: str = "") -> None:
        import getpass

        self.user = user or getpass.getuser()
        self.password = password
        self.received = bytearray()
        self.sent = bytearray()
        self.refuse_next = 0
        self.corrupt: list[tuple[bytes, bytes]] = []
        self.swallow: list[bytes] = []
        self.connections = 0
        self._argv = [sys.executable, str(GETTY), self.user, password, banner, *shell]
        self._loop = asyncio.new_event_loop()
        self._ws: web.WebSocketResponse | None = None
        self._request: web.Request | None = None
        self.url = ""

    def __enter__(self) -> FakeGuest:
        self._start_guest()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._stop_guest()

    def _start_guest(self) -> None:
        self._master, slave = pty.openpty()
        self._child = subprocess.Popen(
            self._argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_own_tty, env=_env()
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    def _stop_guest(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        os.close(self._master)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._console)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        self._loop.add_reader(self._master, self._from_guest)

    async def _shutdown(self) -> None:
        self._loop.remove_reader(self._master)
        self._cut()
        await self._runner.cleanup()

    def _cut(self) -> None:
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()
        self._ws = self._request = None

    def cut(self) -> None:
        """Ends the connection without a close frame (1006)."""
        self._loop.call_soon_threadsafe(self._cut)

    def noise(self, data: bytes) -> None:
        """The kernel says something, over whatever is on the line."""
        self._loop.call_soon_threadsafe(self._out, data)

    def reboot(self) -> None:
        """The guest restarts; the connection stays."""

        async def again() -> None:
            self._loop.remove_reader(self._master)
            self._stop_guest()
            self._out(b"\r\n[    0.000000] Linux version 6.1\r\n")
            self._start_guest()
            self._loop.add_reader(self._master, self._from_guest)

        asyncio.run_coroutine_threadsafe(again(), self._loop).result(10)

    def type(self, data: bytes) -> None:
        """Somebody types at the console."""
        os.write(self._master, data)

    def wait_sent(self, text: bytes, seconds: float = 10) -> None:
        """Until the guest said something."""
        end = time.monotonic() + seconds
        while text not in self.sent:
            assert time.monotonic() < end, f"guest never said {text!r}: {bytes(self.sent[-300:])!r}"
            time.sleep(0.02)

    def _from_guest(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return
        self._out(data)

    def _out(self, data: bytes) -> None:
        for number, (find, replace) in enumerate(self.corrupt):
            if find in data:
                data = data.replace(find, replace, 1)
                del self.corrupt[number]
                break
        self.sent += data
        if self._ws is not None and not self._ws.closed:
            self._loop.create_task(self._send(self._ws, data))

    async def _send(self, ws: web.WebSocketResponse, data: bytes) -> None:
        with contextlib.suppress(Exception):
            await ws.send_bytes(data)

    async def _console(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_next:
            self.refuse_next -= 1
            status = {"kind": "Status", "status": "Failure", "message": "VMI is not running", "reason": "BadRequest"}
            return web.json_response(status | {"code": 400}, status=400)
        self._cut()
        ws = web.WebSocketResponse(protocols=["plain.kubevirt.io"], max_msg_size=0)
        await ws.prepare(request)
        self._ws, self._request = ws, request
        self.connections += 1
        async for message in ws:
            if message.type == WSMsgType.BINARY:
                self.received += message.data
                await self._into_guest(self._without(message.data))
        return ws

    def _without(self, data: bytes) -> bytes:
        """What is left when the line loses, once each, what is to be swallowed."""
        for text in [text for text in self.swallow if text in data]:
            data = data.replace(text, b"", 1)
            self.swallow.remove(text)
        return data

    async def _into_guest(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)


def _own_tty() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TERM": "vt102", "HOME": "/nonexistent", "PS1": "guest$ ", "LC_ALL": "C.UTF-8"}
