"""A terminal with a process on it: the pty, its output, its size.

The process leads a session of its own, so that job control and Ctrl-C work.  Who reads and who types is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Awaitable, Callable, Mapping, Sequence

from lab.embedded.node.place import Place

CHUNK = 32 * 1024
END_OF_INPUT = b"\x04"
SIZE = (80, 24)


class Terminal:
    """One pty; ``close`` hangs it up, which ends whoever is on it."""

    def __init__(self) -> None:
        self.master = -1

    async def start(self, argv: Sequence[str], place: Place, env: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Start ``argv`` on a fresh terminal. Raises CommandFailed."""
        self.master, slave = pty.openpty()
        # Until a client tells its size: with none at all, pagers take every output for too long.
        self.resize(*SIZE)
        try:
            # `setsid` forks when it already leads a group: the command is in another session than its parent.
            process = await place.spawn(
                ["setsid", "--ctty", "--wait", *argv], {"TERM": "xterm", **env}, slave, slave, slave
            )
        finally:
            os.close(slave)
        os.set_blocking(self.master, False)
        return process

    async def copy(self, show: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand on what is said until nobody is on the terminal any more."""
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.master, readable.set)
        while self.master >= 0:
            await readable.wait()
            readable.clear()
            try:
                data = os.read(self.master, CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            await show(data)

    async def feed(self, data: bytes) -> None:
        """Type."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.master, rest) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)

    def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            self.master = -1
