"""Container processes and their logs.

A container of an ordinary pod is a process of the node's own tools in the pod's network namespace; images
are not used.  Logs are in the CRI's format, bounded, with one predecessor.  Neither pods nor restarts are
known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.embedded.host.command import run
from lab.embedded.node.place import Place
from lab.embedded.node.terminal import END_OF_INPUT, Terminal

log = logging.getLogger(__name__)
Obj = dict[str, Any]
LOG_BYTES = 8 * 2**20
LINE_BYTES = 16 * 2**10
IDLE = ("sleep", "infinity")
SHELL = ("sh",)
Watcher = Callable[[str, bytes], Awaitable[None]]


def stamp() -> str:
    """This moment with nanoseconds, as CRI logs have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class LogFile:
    """One container's log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, stream: str, line: bytes, *, full: bool = True) -> None:
        """Append one line (without its newline) of ``stdout`` or ``stderr``."""
        try:
            if self.path.exists() and self.path.stat().st_size > LOG_BYTES:
                self.path.replace(self.path.with_suffix(".log.1"))
            with self.path.open("ab") as output:
                output.write(f"{stamp()} {stream} {'F' if full else 'P'} ".encode() + line + b"\n")
        except OSError as error:
            log.warning("container log %s: %s", self.path, error)


class LogStream:
    """One of a container's streams on its way into the log, cut into lines; over-long lines become partial ones."""

    def __init__(self, file: LogFile, name: str) -> None:
        self._file, self._name, self._rest = file, name, b""

    def put(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._file.write(self._name, line)
        if len(self._rest) >= LINE_BYTES:
            self._file.write(self._name, self._rest, full=False)
            self._rest = b""

    def end(self) -> None:
        if self._rest:
            self._file.write(self._name, self._rest)


def parse(line: bytes) -> tuple[str, bytes] | None:
    """Timestamp and content (newline included when the line was full) of one CRI log line.

    Lines of Open vSwitch's and OVN's daemons are understood as well: ``TIME|NUMBER|MODULE|LEVEL|...``.
    """
    if b"|" in line[:32] and line[:4].isdigit():
        return line.partition(b"|")[0].decode("ascii", "replace"), line + b"\n"
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 4:
        return None
    end = b"\n" if parts[2] == b"F" else b""
    return parts[0].decode("ascii", "replace"), parts[3] + end


async def tool_path(folder: Path) -> str:
    """PATH of containers: the node's tools, then every busybox applet as a link in ``folder``."""
    if not folder.exists() and shutil.which("busybox"):
        folder.mkdir(parents=True)
        applets = (await run(["busybox", "--list"])).stdout.split()
        binary = shutil.which("busybox")
        for applet in applets:
            with contextlib.suppress(OSError):
                (folder / applet).symlink_to(binary or "")
    return f"{os.environ.get('PATH', '')}:{folder}"


def environment(container: Obj, pod: Obj, path: str) -> dict[str, str]:
    """Plain values of spec.env, and what every container finds."""
    found = {"PATH": path, "HOSTNAME": pod["metadata"]["name"], "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    # Not the home of the lab's user: a shell would read files there that are no business of a container.
    found["HOME"] = "/"
    for entry in container.get("env") or []:
        if isinstance(entry.get("value"), str):
            found[entry["name"]] = entry["value"]
    return found


def command_of(container: Obj) -> list[str]:
    """command and args; without any what images do that people use so: a shell for who types, else waiting for ever."""
    argv = [*(container.get("command") or []), *(container.get("args") or [])]
    return [str(word) for word in argv] or list(SHELL if container.get("stdin") else IDLE)


class Process:
    """A running container process: what it says goes to the log, and to whoever is attached."""

    def __init__(self, file: LogFile) -> None:
        self.process: asyncio.subprocess.Process
        self.watchers: set[Watcher] = set()
        self.ended = asyncio.Event()
        """It ended and all it said was handed on."""
        self._file = file
        self._terminal: Terminal | None = None
        self._readers: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        place: Place,
        env: Mapping[str, str],
        file: LogFile,
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> Process:
        """Start ``argv``. Raises CommandFailed."""
        made = cls(file)
        if tty:
            made._terminal = Terminal()
            made.process = await made._terminal.start(argv, place, env)
            made._readers = {asyncio.create_task(made._screen(made._terminal))}
            return made
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        made.process = await place.spawn(argv, env, pipe if stdin else nothing, pipe, pipe)
        streams = (("stdout", made.process.stdout), ("stderr", made.process.stderr))
        made._readers = {asyncio.create_task(made._pipe(name, reader)) for name, reader in streams if reader}
        return made

    async def _pipe(self, name: str, reader: asyncio.StreamReader) -> None:
        stream = LogStream(self._file, name)
        while data := await reader.read(LINE_BYTES):
            await self._said(name, stream, data)
        stream.end()

    async def _screen(self, terminal: Terminal) -> None:
        stream = LogStream(self._file, "stdout")
        await terminal.copy(lambda data: self._said("stdout", stream, data))
        stream.end()

    async def _said(self, name: str, stream: LogStream, data: bytes) -> None:
        stream.put(data)
        for watcher in tuple(self.watchers):
            await watcher(name, data)

    async def feed(self, data: bytes) -> None:
        """Type at it, or write into its stdin; nothing happens when it has neither."""
        with contextlib.suppress(OSError):
            if self._terminal is not None:
                await self._terminal.feed(data)
            elif self.process.stdin is not None:
                self.process.stdin.write(data)
                await self.process.stdin.drain()

    async def end_input(self) -> None:
        """No more input comes."""
        if self._terminal is not None:
            await self.feed(END_OF_INPUT)
        elif self.process.stdin is not None:
            self.process.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """The size of the screen that looks at its terminal."""
        if self._terminal is not None:
            self._terminal.resize(columns, rows)

    async def wait(self) -> int:
        """Exit status as a container has it: 128 + n for a signal n."""
        status = await self.process.wait()
        await asyncio.wait(self._readers, timeout=1)
        for reader in self._readers:
            reader.cancel()
        if self._terminal is not None:
            self._terminal.close()
        self.ended.set()
        return status if status >= 0 else 128 - status

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds; a terminal is hung up first, as its shell expects."""
        if self._terminal is not None:
            self._terminal.close()
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.process.wait()
                    return


async def follow(path: Path, *, running: Any, poll: float = 0.2) -> AsyncIterator[bytes]:
    """Lines of a log as they are written, until ``running()`` is false and all is read.

    A file has no event to wait for without inotify bindings: it is looked at five times a second.
    """
    with path.open("rb") as source:
        rest = b""
        while True:
            last = not running()
            data = source.read()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line
            if last and not data:
                return
            if not data:
                await asyncio.sleep(poll)
