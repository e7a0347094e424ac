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
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.embedded.host.command import run, spawn

log = logging.getLogger(__name__)
Obj = dict[str, Any]
LOG_BYTES = 8 * 2**20
LINE_BYTES = 16 * 2**10
IDLE = ("sleep", "infinity")


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

    async def take(self, stream: str, reader: asyncio.StreamReader) -> None:
        """Write what a stream says until it ends; over-long lines become partial ones."""
        rest = b""
        while data := await reader.read(LINE_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.write(stream, line)
            if len(rest) >= LINE_BYTES:
                self.write(stream, rest, full=False)
                rest = b""
        if rest:
            self.write(stream, rest)


def parse(line: bytes) -> tuple[str, bytes] | None:
    """Timestamp and content (newline included when the line was full) of one CRI log line."""
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
    for entry in container.get("env") or []:
        if isinstance(entry.get("value"), str):
            found[entry["name"]] = entry["value"]
    return found


def command_of(container: Obj) -> list[str]:
    """command and args; nothing at all means waiting for ever, as the images people use for that do."""
    argv = [*(container.get("command") or []), *(container.get("args") or [])]
    return [str(word) for word in argv] or list(IDLE)


class Process:
    """A running container process."""

    def __init__(self, process: asyncio.subprocess.Process, readers: Sequence[asyncio.Task[None]]) -> None:
        self.process, self._readers = process, readers

    @classmethod
    async def start(
        cls, argv: Sequence[str], netns: str | None, env: Mapping[str, str], cwd: str | None, file: LogFile
    ) -> Process:
        """Start ``argv``. Raises CommandFailed."""
        pipe = asyncio.subprocess.PIPE
        process = await spawn(argv, netns=netns, stdout=pipe, stderr=pipe, env=env, cwd=cwd)
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            asyncio.create_task(file.take("stdout", process.stdout)),
            asyncio.create_task(file.take("stderr", process.stderr)),
        ]
        return cls(process, readers)

    async def wait(self) -> int:
        """Exit status as a container has it: 128 + n for a signal n."""
        status = await self.process.wait()
        await asyncio.wait(self._readers, timeout=1)
        return status if status >= 0 else 128 - status

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds."""
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
