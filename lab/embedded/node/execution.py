"""One remote command: a process in a pod's namespace between the channels of a websocket.

With a terminal there is one output stream and the process is a session leader on a pty; without, stdin,
stdout and stderr are pipes.  Whatever ends first, nothing of the command is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import termios
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from lab.embedded.errors import LabError
from lab.embedded.host.command import spawn
from lab.embedded.node.channels import (
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    decode,
    encode,
    exit_status,
    failure,
    resize_of,
)

CHUNK = 32 * 1024


@dataclass(frozen=True)
class Command:
    """What the client asked for."""

    argv: list[str]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def serve(
    socket: web.WebSocketResponse, protocol: str, command: Command, netns: str | None, env: Mapping[str, str]
) -> None:
    """Run the command to its end, or until the client is gone; the Status is the last message."""
    first = STDOUT if command.stdout else STDERR if command.stderr else ERROR
    await socket.send_bytes(encode(first, b""))
    if shutil.which(command.argv[0], path=env["PATH"]) is None:
        name = command.argv[0]
        why = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        text = f'error executing command in container: failed to exec in container: exec: "{name}": {why}: unknown'
        status = failure(text)
    else:
        running = _Terminal(socket, protocol, command) if command.tty else _Pipes(socket, protocol, command)
        try:
            status = await running.run(netns, env)
        except LabError as error:
            status = failure(f"error executing command in container: {error}")
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(encode(ERROR, json.dumps(status).encode()))
        await socket.close()


class _Running:
    def __init__(self, socket: web.WebSocketResponse, protocol: str, command: Command) -> None:
        self.socket, self.protocol, self.command = socket, protocol, command
        self.process: asyncio.subprocess.Process | None = None

    async def run(self, netns: str | None, env: Mapping[str, str]) -> dict[str, object]:
        outputs = await self.start(netns, env)
        assert self.process is not None
        reading = asyncio.create_task(self._input())
        ending = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                # The client went away: nobody will read what the command says.
                self._kill()
                await ending
            # A grandchild may hold the pipes for ever: what was said before the end is already in them.
            await asyncio.wait(outputs, timeout=1.0)
        finally:
            reading.cancel()
            for output in outputs:
                output.cancel()
            self._kill()
            self.close()
        code = ending.result()
        return exit_status(code if code >= 0 else 128 - code, self.command.argv)

    def _kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def start(self, netns: str | None, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
        raise NotImplementedError

    async def feed(self, data: bytes) -> None:
        raise NotImplementedError

    async def end_input(self) -> None:
        raise NotImplementedError

    def resize(self, columns: int, rows: int) -> None:
        return

    def close(self) -> None:
        return

    async def _input(self) -> None:
        async for message in self.socket:
            if message.type is not WSMsgType.BINARY:
                continue
            said = decode(message.data, self.protocol)
            if said is None:
                continue
            if said.channel == RESIZE and not said.closed:
                size = resize_of(said.data)
                if size:
                    self.resize(*size)
            elif said.channel == STDIN and self.command.stdin:
                with contextlib.suppress(ConnectionError, OSError):
                    await (self.end_input() if said.closed else self.feed(said.data))

    async def show(self, channel: int, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self.socket.send_bytes(encode(channel, data))


class _Pipes(_Running):
    async def start(self, netns: str | None, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        command = self.command
        self.process = await spawn(
            command.argv,
            netns=netns,
            env=env,
            stdin=pipe if command.stdin else nothing,
            stdout=pipe if command.stdout else nothing,
            stderr=pipe if command.stderr else nothing,
        )
        streams = ((STDOUT, self.process.stdout), (STDERR, self.process.stderr))
        return {asyncio.create_task(self._copy(channel, reader)) for channel, reader in streams if reader}

    async def _copy(self, channel: int, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            await self.show(channel, data)

    async def feed(self, data: bytes) -> None:
        assert self.process is not None
        if self.process.stdin and data:
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def end_input(self) -> None:
        assert self.process is not None
        if self.process.stdin:
            self.process.stdin.close()


class _Terminal(_Running):
    master = -1

    async def start(self, netns: str | None, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
        self.master, slave = pty.openpty()
        try:
            # The process must lead a session of its own to get the terminal: job control, Ctrl-C.
            argv = ["setsid", "--ctty", "--wait", *self.command.argv]
            environment = {"TERM": "xterm", **env}
            self.process = await spawn(argv, netns=netns, env=environment, stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        os.set_blocking(self.master, False)
        return {asyncio.create_task(self._copy())}

    async def _copy(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.master, readable.set)
        try:
            while True:
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
                await self.show(STDOUT, data)
        finally:
            loop.remove_reader(self.master)

    async def feed(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.master, rest) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)

    async def end_input(self) -> None:
        await self.feed(b"\x04")

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        # `setsid` forks when it already leads a group: the command is in another session than its parent.
        # Closing the master hangs the terminal up, which ends whoever is on it.
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
