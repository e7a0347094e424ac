"""The serial console over real sockets: a socket server plays QEMU, aiohttp clients play virtctl."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from lab.embedded.node import console as module
from lab.embedded.node.console import PROTOCOL, Console


class Guest:
    """QEMU's end of the serial port."""

    def __init__(self) -> None:
        self.got = b""
        self.writer: asyncio.StreamWriter | None = None
        self.typed, self.connected = asyncio.Event(), asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connected.set()
        while data := await reader.read(1000):
            self.got += data
            self.typed.set()

    async def say(self, data: bytes) -> None:
        assert self.writer
        self.writer.write(data)
        await self.writer.drain()


Body = Callable[[Guest, Callable[[], Awaitable[ClientWebSocketResponse]], Console], Awaitable[None]]


def scene(folder: Path, body: Body) -> None:
    async def play() -> None:
        guest = Guest()
        server = await asyncio.start_unix_server(guest.handle, str(folder / "s"))
        console = Console(folder / "c.log")
        await console.attach(folder / "s")
        app = web.Application()
        app.router.add_get("/console", console.serve)
        async with TestServer(app) as http, ClientSession() as session:

            async def client() -> ClientWebSocketResponse:
                ws = await session.ws_connect(http.make_url("/console"), protocols=[PROTOCOL])
                assert ws.protocol == PROTOCOL
                return ws

            try:
                async with asyncio.timeout(10):
                    await body(guest, client, console)
            finally:
                await console.close()
                if guest.writer:
                    guest.writer.close()
                server.close()

    asyncio.run(play())


def test_bytes_both_ways_and_the_log(tmp_path: Path) -> None:
    async def body(guest: Guest, client: Callable[[], Awaitable[ClientWebSocketResponse]], _console: Console) -> None:
        ws = await client()
        await ws.send_str("text is no data")
        await ws.send_bytes(b"\n")
        await guest.typed.wait()
        assert guest.got == b"\n"
        await guest.say(b"login: \xff\x00")
        assert await ws.receive_bytes() == b"login: \xff\x00"
        assert (tmp_path / "c.log").read_bytes() == b"login: \xff\x00"
        await ws.close()

    scene(tmp_path, body)


def test_a_new_client_evicts_the_old_one_without_a_close_frame(tmp_path: Path) -> None:
    async def body(guest: Guest, client: Callable[[], Awaitable[ClientWebSocketResponse]], _console: Console) -> None:
        first = await client()
        await first.send_bytes(b"1")
        await guest.typed.wait()
        second = await client()
        message = await first.receive()
        assert message.type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert first.close_code == 1006
        await guest.say(b"for the second")
        assert await second.receive_bytes() == b"for the second"
        await second.close()

    scene(tmp_path, body)


def test_nothing_is_replayed(tmp_path: Path) -> None:
    async def body(guest: Guest, client: Callable[[], Awaitable[ClientWebSocketResponse]], _console: Console) -> None:
        first = await client()
        await guest.connected.wait()
        await guest.say(b"early")
        assert await first.receive_bytes() == b"early"
        await first.close()
        ws = await client()
        await ws.send_bytes(b"\n")
        await guest.typed.wait()
        await guest.say(b"late")
        assert await ws.receive_bytes() == b"late"
        await ws.close()

    scene(tmp_path, body)


def test_the_end_of_the_guest_drops_the_client(tmp_path: Path) -> None:
    async def body(guest: Guest, client: Callable[[], Awaitable[ClientWebSocketResponse]], console: Console) -> None:
        ws = await client()
        await ws.send_bytes(b"1")
        await guest.typed.wait()
        await console.close()
        await ws.receive()
        assert ws.close_code == 1006

    scene(tmp_path, body)


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: object) -> None:
    console = Console(tmp_path / "c.log")
    block = b"x" * (module.LOG_BYTES // 2)
    for _ in range(5):
        console._record(block)
    assert (tmp_path / "c.log").stat().st_size <= module.LOG_BYTES
    assert (tmp_path / "c.log.1").stat().st_size <= module.LOG_BYTES
