"""One QEMU process: started with sockets it inherits, spoken to over QMP, ended on every way out.

What its events mean for a VMI is decided elsewhere; here they are only queued in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import ExecInterruptedError, QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError

from lab.embedded.errors import LabError
from lab.embedded.host.command import spawn
from lab.embedded.node.domain import Sockets

log = logging.getLogger(__name__)
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
Event = dict[str, Any]
CONNECT_SECONDS = 20.0


class QemuFailed(LabError):
    """QEMU did not start, ended by itself, or refused a command."""


def listen(path: Path) -> socket.socket:
    """A listening UNIX socket at ``path``; connecting works at once, before QEMU accepts."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(4)
    return sock


class Qemu:
    """A running QEMU. ``folder`` holds its sockets, its pid and what it printed."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, client: QMPClient) -> None:
        self.folder = folder
        self.process = process
        self._client = client
        self._closed = False
        self._parting = asyncio.Lock()
        self._parted = False
        self.exit_reason = ""
        """`reason` of the last SHUTDOWN event: guest-shutdown, host-qmp-quit, host-signal, ..."""

    @classmethod
    async def start(cls, folder: Path, netns: str, build: Callable[[Sockets], list[str]]) -> Qemu:
        """Start with the arguments that ``build`` makes from the inherited sockets. Raises QemuFailed."""
        folder.mkdir(parents=True, exist_ok=True)
        socks = [listen(folder / name) for name in ("qmp.sock", "serial0.sock", "agent.sock")]
        fds = [sock.fileno() for sock in socks]
        try:
            with (folder / "qemu.log").open("ab") as output:
                argv = build(Sockets(*fds))
                process = await spawn(argv, netns=netns, stdout=output, stderr=output, pass_fds=fds)
        finally:
            for sock in socks:
                sock.close()
        (folder / "qemu.pid").write_text(str(process.pid))
        client = QMPClient("qemu")
        self = cls(folder, process, client)
        connecting = asyncio.ensure_future(client.connect(str(folder / "qmp.sock")))
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({connecting, ended}, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and connecting.exception() is None:
                return self
        finally:
            ended.cancel()
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError, QMPError):
            await connecting
        await self.kill()
        raise QemuFailed("wanted QEMU to start and answer on its monitor", self.output() or "it said nothing")

    def output(self) -> str:
        """The end of what QEMU printed, at most 2000 characters."""
        with contextlib.suppress(OSError):
            return (self.folder / "qemu.log").read_bytes()[-2000:].decode(errors="replace").strip()
        return ""

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor, as it said when it was connected to."""
        assert self._client.greeting is not None
        said: Any = self._client.greeting.QMP.version["qemu"]
        return int(said["major"]), int(said["minor"])

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def command(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run one QMP command. Raises QemuFailed with QEMU's own words."""
        try:
            return await self._client.execute(name, dict(arguments or {}) or None)
        except ExecuteError as error:
            raise QemuFailed(f"wanted QEMU to do {name}", str(error)) from error
        except (ExecInterruptedError, QMPError, OSError) as error:
            raise QemuFailed(f"wanted QEMU to do {name}", f"the monitor is gone: {error}") from error

    async def give(self, name: str, sock: socket.socket) -> None:
        """Hand a descriptor to QEMU under ``name`` (`getfd`); the caller may close its own copy afterwards."""
        self._client.send_fd_scm(sock.fileno())
        await self.command("getfd", {"fdname": name})

    async def events(self) -> AsyncIterator[Event]:
        """Events in order since the start, until the process ends; one consumer only."""
        listener = self._client.events
        closed = asyncio.ensure_future(self.process.wait())
        try:
            while True:
                waiting = asyncio.ensure_future(listener.get())
                await asyncio.wait({waiting, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                    while not listener.empty():
                        yield self._seen(dict(await listener.get()))
                    return
                yield self._seen(dict(waiting.result()))
        finally:
            closed.cancel()

    def _seen(self, event: Event) -> Event:
        if event.get("event") == "SHUTDOWN":
            self.exit_reason = str(event.get("data", {}).get("reason", ""))
        return event

    async def wait(self) -> int:
        """Wait for the end; the exit status is negative for a signal."""
        status = await self.process.wait()
        if not self._closed:
            # One disconnect only, and its errors are those of the lost connection: the client may assert otherwise.
            self._closed = True
            with contextlib.suppress(QMPError, EOFError, OSError, AssertionError):
                await self._client.disconnect()
        return status

    async def kill(self) -> None:
        """End it at once; the kernel takes its taps' carrier and its sockets with it."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.wait()
        (self.folder / "qemu.pid").unlink(missing_ok=True)


def kill_leftovers(folder: Path) -> list[str]:
    """Kill QEMUs that an earlier agent of this node started; returns the folders that had one.

    A pid file outlives its process, and pids are used again: only a process whose command line is QEMU's is killed.
    """
    found = []
    for file in folder.glob("*/qemu.pid"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text())
            if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                found.append(file.parent.name)
        file.unlink(missing_ok=True)
    return found
