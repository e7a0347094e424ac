"""One remote command: a process in a pod's namespace between the channels of a websocket.

With a terminal there is one output stream and the process is a session leader on a pty; without, stdin,
stdout and stderr are pipes.  Whatever ends first, nothing of the command is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from lab.embedded.errors import LabError
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
from lab.embedded.node.containers import Process
from lab.embedded.node.place import Place
from lab.embedded.node.terminal import CHUNK, END_OF_INPUT, Terminal


@dataclass(frozen=True)
class Command:
    """What the client asked for."""

    argv: list[str]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def serve(
    socket: web.WebSocketResponse, protocol: str, command: Command, place: Place, env: Mapping[str, str]
) -> None:
    """Run the command to its end, or until the client is gone; the Status is the last message."""
    first = STDOUT if command.stdout else STDERR if command.stderr else ERROR
    await socket.send_bytes(encode(first, b""))
    if not place.finds(command.argv[0], env["PATH"]):
        name = command.argv[0]
        why = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        text = f'error executing command in container: failed to exec in container: exec: "{name}": {why}: unknown'
        status = failure(text)
    else:
        running = _Terminal(socket, protocol, command) if command.tty else _Pipes(socket, protocol, command)
        try:
            status = await running.run(place, env)
        except LabError as error:
            status = failure(f"error executing command in container: {error}")
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(encode(ERROR, json.dumps(status).encode()))
        await socket.close()


class _Running:
    def __init__(self, socket: web.WebSocketResponse, protocol: str, command: Command) -> None:
        self.socket, self.protocol, self.command = socket, protocol, command
        self.process: asyncio.subprocess.Process | None = None

    async def run(self, place: Place, env: Mapping[str, str]) -> dict[str, object]:
        outputs = await self.start(place, env)
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

    async def start(self, place: Place, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
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
    async def start(self, place: Place, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        command = self.command
        self.process = await place.spawn(
            command.argv,
            env,
            pipe if command.stdin else nothing,
            pipe if command.stdout else nothing,
            pipe if command.stderr else nothing,
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
    def __init__(self, socket: web.WebSocketResponse, protocol: str, command: Command) -> None:
        super().__init__(socket, protocol, command)
        self.terminal = Terminal()

    async def start(self, place: Place, env: Mapping[str, str]) -> set[asyncio.Task[None]]:
        self.process = await self.terminal.start(self.command.argv, place, env)
        return {asyncio.create_task(self.terminal.copy(lambda data: self.show(STDOUT, data)))}

    async def feed(self, data: bytes) -> None:
        await self.terminal.feed(data)

    async def end_input(self) -> None:
        await self.terminal.feed(END_OF_INPUT)

    def resize(self, columns: int, rows: int) -> None:
        self.terminal.resize(columns, rows)

    def close(self) -> None:
        self.terminal.close()


class _Attached(_Running):
    """Somebody's screen and keyboard at a process that was there before and goes on after."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str, command: Command, process: Process) -> None:
        super().__init__(socket, protocol, command)
        self.running = process

    async def follow(self) -> None:
        """Until the process ends or the client leaves."""
        reading = asyncio.create_task(self._input())
        ending = asyncio.create_task(self.running.ended.wait())
        self.running.watchers.add(self._show)
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.running.watchers.discard(self._show)
            reading.cancel()
            ending.cancel()

    async def _show(self, stream: str, data: bytes) -> None:
        wanted = self.command.stdout if stream == "stdout" else self.command.stderr
        if wanted:
            await self.show(STDOUT if stream == "stdout" else STDERR, data)

    async def feed(self, data: bytes) -> None:
        await self.running.feed(data)

    async def end_input(self) -> None:
        await self.running.end_input()

    def resize(self, columns: int, rows: int) -> None:
        self.running.resize(columns, rows)


async def attach(socket: web.WebSocketResponse, protocol: str, command: Command, process: Process) -> None:
    """Join a client to a container's own process until either ends."""
    await socket.send_bytes(encode(STDOUT if command.stdout else STDERR if command.stderr else ERROR, b""))
    await _Attached(socket, protocol, command, process).follow()
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(encode(ERROR, json.dumps(exit_status(0, command.argv)).encode()))
        await socket.close()
