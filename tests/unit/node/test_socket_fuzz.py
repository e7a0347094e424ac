"""Broken websockets to exec, console and dial, and through the relays of the API server and virt-api: bad frames, half
handshakes, an end anywhere. The next client is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from lab.embedded.apiserver.proxying import Proxy
from lab.embedded.node import podroutes
from lab.embedded.node.channels import PROTOCOLS, resize_of
from lab.embedded.node.console import Console
from lab.embedded.node.execution import Command, serve
from lab.embedded.node.place import Place
from lab.embedded.operators.virtapi.agents import Agents
from tests import hostile

PLAIN = "plain.kubevirt.io"
COMMANDS = ("/exec", "/apiserver")
PATHS = (*COMMANDS, "/console", "/virtapi", "/dial")
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
ASKED = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
HANDSHAKES = {
    "good": f"{ASKED}{KEY}Sec-WebSocket-Protocol: PROTOCOL\r\n",
    "another protocol": f"{ASKED}{KEY}Sec-WebSocket-Protocol: nonsense, \x01\r\n",
    "no protocol": f"{ASKED}{KEY}",
    "no key": f"{ASKED}Sec-WebSocket-Version: 13\r\n",
    "a bad key": f"{ASKED}Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    "another version": f"{ASKED}{KEY.replace('13', '99')}",
    "no upgrade": "Host: x\r\n",
}


def frame(payload: bytes, opcode: int = 2, *, first: int = 0x80, masked: bool = True, size: int | None = None) -> bytes:
    """One frame; *size* may lie."""
    length = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    head = bytes([first | opcode])
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", length)
    return head + (b"\0\0\0\0" if masked else b"") + payload


FRAMES = {
    "data": frame(b"\0hello\n"),
    "unmasked": frame(b"\0hello", masked=False),
    "reserved opcode": frame(b"x", 7),
    "reserved bits": frame(b"x", first=0xF0),
    "a long ping": frame(b"x" * 200, 9),
    "a ping in pieces": frame(b"x", 9, first=0),
    "an end without a begin": frame(b"x", 0),
    "two begins": frame(b"x", 2, first=0) + frame(b"y", 2, first=0),
    "no UTF-8": frame(b"\xff\xfe", 1),
    "text": frame(b"\0text", 1),
    "empty": frame(b""),
    "unknown channel": frame(b"\x09x"),
    "close of nothing": frame(b"\xff"),
    "close of stdout": frame(b"\xff\x01"),
    "resize to nonsense": frame(b"\x04" + b"[" * 60000),
    "resize to infinity": frame(b'\x04{"Width":1e999,"Height":-1}'),
    "a length of exabytes": frame(b"x", size=2**63 - 1),
    "a length with its highest bit": frame(b"x", size=2**64 - 1),
    "too long for a message": frame(b"\0", size=5 * 2**20) + b"x" * 65536,
    "half a frame": frame(b"\0hello")[:4],
    "close with a wrong code": frame(struct.pack(">H", 1), 8),
    "close of one byte": frame(b"x", 8),
    "close": frame(struct.pack(">H", 1000), 8),
    "after the close": frame(struct.pack(">H", 1000), 8) + frame(b"\0x"),
}


class Nodes:
    """What an API server's proxy asks of its store."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes

    def get(self, collection: tuple[str, str], namespace: str, name: str) -> Any:
        return self.nodes.get(name)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[TestServer]:
    """An agent's exec of `cat`, a guest's console and a port that repeat what they hear, and two relays to them."""

    async def execute(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=PROTOCOLS)
        await ws.prepare(request)
        command = Command(["cat"], True, True, True, False)
        await serve(ws, ws.ws_protocol or "", command, Place(), {"PATH": os.environ["PATH"]})
        return ws

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(1000):
                writer.write(data)

    async def dial(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=(PLAIN,), max_msg_size=podroutes.MOST_BYTES)
        host, port = echoing.sockets[0].getsockname()
        with socket.create_connection((host, port)) as sock:
            sock.setblocking(False)
            await ws.prepare(request)
            await podroutes.relay(ws, sock, udp=False)
        return ws

    echoing = await asyncio.start_server(guest, "127.0.0.1")
    listening = await asyncio.start_unix_server(guest, str(folder / "serial"))
    console = Console(folder / "console.log")
    await console.attach(folder / "serial")
    app = web.Application()
    app.router.add_get("/exec", execute)
    app.router.add_get("/console", console.serve)
    app.router.add_get("/dial", dial)
    nodes: dict[str, Any] = {}
    agents = Agents(lambda: nodes, "t")
    proxy = Proxy(Nodes(nodes), folder, "t")  # type: ignore[arg-type]
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}}

    async def virtapi(request: web.Request) -> web.StreamResponse:
        return await agents.relay(request, "n", "/console", pings=True)

    async def apiserver(request: web.Request) -> web.StreamResponse:
        return await proxy.to_agent(request, pod, "/exec", "")

    app.router.add_get("/virtapi", virtapi)
    app.router.add_get("/apiserver", apiserver)
    async with TestServer(app) as server:
        address = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        nodes["n"] = {"status": {**address, "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}}}}
        yield server
        await console.close()
        await agents.close()
        await proxy.close()
    for other in (listening, echoing):
        other.close()
        await other.wait_closed()
    # Transports that were aborted or closed are told so in the loop's next turns.
    await asyncio.sleep(0.1)


async def misbehave(server: TestServer, path: str, handshake: str, frames: list[bytes]) -> None:
    """Say all of it, read whatever comes until nothing does, and cut the line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    protocol = PROTOCOLS[0] if path in COMMANDS else PLAIN
    writer.write(f"GET {path} HTTP/1.1\r\n{HANDSHAKES[handshake].replace('PROTOCOL', protocol)}\r\n".encode())
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1000)
    with contextlib.suppress(ConnectionError, TimeoutError):
        for piece in frames:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(0.02):
            while await reader.read(1000):
                pass
    writer.transport.abort()


async def served(server: TestServer) -> None:
    """A client that behaves gets its echo, from all."""
    async with ClientSession() as session, asyncio.timeout(20):
        for path in PATHS:
            command = path in COMMANDS
            protocol = PROTOCOLS[0] if command else PLAIN
            async with session.ws_connect(server.make_url(path), protocols=[protocol]) as client:
                await client.send_bytes(b"\0hello\n" if command else b"mark")
                said = b""
                while (b"\x01hello\n" if command else b"mark") not in said:
                    said += await client.receive_bytes()


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("path", PATHS)
def test_every_bad_frame_and_handshake(path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = children()

    async def story() -> None:
        async with running(tmp_path) as server:
            tries = [("good", [piece]) for piece in FRAMES.values()] + [(how, [FRAMES["data"]]) for how in HANDSHAKES]
            for handshake, frames in tries:
                await misbehave(server, path, handshake, frames)
            await served(server)

    with caplog.at_level(logging.WARNING):
        asyncio.run(story(), debug=False)
    # What is no HTTP is aiohttp's to refuse; everything else with a traceback would be a fault of ours.
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [repr(error) for error in told if not isinstance(error, HttpProcessingError)] == []
    assert children() - before == set()


pieces = st.one_of(st.sampled_from(list(FRAMES.values())), st.binary(max_size=40))


@hostile.few(6)
@given(
    frames=st.lists(pieces, min_size=1, max_size=6),
    cut=st.integers(0, 100),
    path=st.sampled_from(PATHS),
)
def test_frames_in_any_order_cut_anywhere(
    frames: list[bytes], cut: int, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def story() -> None:
        async with running(tmp_path_factory.mktemp("s")) as server:
            sent = b"".join(frames)
            await misbehave(server, path, "good", [sent[: len(sent) * cut // 100]])
            await served(server)

    asyncio.run(story())


@pytest.mark.parametrize(
    "said", [b"[" * 100_000, b'{"Width":1e999,"Height":1}', b'{"Width":null,"Height":[]}', b"7", b"\xff"]
)
def test_a_size_that_is_none(said: bytes) -> None:
    assert resize_of(said) is None


def test_a_datagram_that_is_too_long_for_one_ends_the_stream_in_silence() -> None:
    async def story() -> None:
        async def dial(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(("127.0.0.1", 9))
                await podroutes.relay(ws, sock, udp=True)
            return ws

        app = web.Application()
        app.router.add_get("/", dial)
        async with (
            TestServer(app) as server,
            ClientSession() as session,
            session.ws_connect(server.make_url("/")) as client,
        ):
            await client.send_bytes(b"x" * 70_000)
            assert (await client.receive(timeout=10)).type is WSMsgType.CLOSE

    asyncio.run(story())
