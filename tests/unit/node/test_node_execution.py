"""Remote commands over real websockets and real processes, in the test's own namespaces."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from lab.embedded.node.channels import PROTOCOLS
from lab.embedded.node.containers import LogFile, Process
from lab.embedded.node.execution import Command, attach, serve
from lab.embedded.node.place import Place

ENV = {"PATH": os.environ["PATH"]}


def play(
    argv: list[str],
    body: Callable[[ClientWebSocketResponse], Awaitable[None]] | None = None,
    *,
    stdin: bool = False,
    tty: bool = False,
    protocol: str = "v5.channel.k8s.io",
) -> dict[int, bytes]:
    """Run a command; what came on each channel."""

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=PROTOCOLS)
        await ws.prepare(request)
        await serve(ws, ws.ws_protocol or "", Command(argv, stdin, True, not tty, tty), Place(), ENV)
        return ws

    async def scene() -> dict[int, bytes]:
        app = web.Application()
        app.router.add_get("/exec", handler)
        found: dict[int, bytes] = {}
        async with TestServer(app) as server, ClientSession() as session, asyncio.timeout(20):
            ws = await session.ws_connect(server.make_url("/exec"), protocols=[protocol])
            assert ws.protocol == protocol
            first = await ws.receive_bytes()
            assert first == b"\x01", "an empty message tells the client that the stream is up"
            sending = asyncio.ensure_future(body(ws)) if body else None
            async for message in ws:
                assert message.type is WSMsgType.BINARY
                found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
            if sending:
                await sending
            assert ws.close_code == 1000
        return found

    return asyncio.run(scene())


def status(found: dict[int, bytes]) -> dict[str, Any]:
    return dict(json.loads(found[3]))


def test_both_streams_and_success() -> None:
    found = play(["sh", "-c", "echo out; echo err >&2"])
    assert (found[1], found[2]) == (b"out\n", b"err\n")
    assert status(found) == {"metadata": {}, "status": "Success"}


@pytest.mark.parametrize(("script", "code"), [("exit 3", "3"), ("kill -9 $$", "137")])
def test_exit_codes(script: str, code: str) -> None:
    said = status(play(["sh", "-c", script]))
    assert said["reason"] == "NonZeroExitCode"
    assert said["details"]["causes"] == [{"reason": "ExitCode", "message": code}]


def test_unknown_command() -> None:
    said = status(play(["no-such-tool"]))
    assert said["reason"] == "InternalError"
    assert 'exec: "no-such-tool": executable file not found in $PATH' in said["message"]


def test_close_of_stdin_ends_cat() -> None:
    async def body(ws: ClientWebSocketResponse) -> None:
        await ws.send_bytes(b"\x00hello")
        await ws.send_bytes(b"\xff\x00")

    found = play(["cat"], body, stdin=True)
    assert found[1] == b"hello"
    assert status(found)["status"] == "Success"


def test_much_output_arrives_whole() -> None:
    found = play(["sh", "-c", "head -c 3000000 /dev/zero"], protocol="v4.channel.k8s.io")
    assert len(found[1]) == 3_000_000


def test_a_terminal() -> None:
    async def body(ws: ClientWebSocketResponse) -> None:
        await ws.send_bytes(b'\x04{"Width":100,"Height":40}')
        await ws.send_bytes(b"\x00go\n")

    found = play(["sh", "-c", "tty; read x; stty size; exit 4"], body, stdin=True, tty=True)
    assert b"/dev/pts/" in found[1]
    assert b"40 100" in found[1]
    assert 2 not in found
    assert status(found)["details"]["causes"][0]["message"] == "4"


def test_a_terminal_of_a_client_that_tells_no_size() -> None:
    assert b"24 80" in play(["stty", "size"], tty=True)[1]


def test_a_client_that_leaves_takes_the_command_along() -> None:
    async def body(ws: ClientWebSocketResponse) -> None:
        await ws.close()

    async def scene() -> None:
        pids: list[int] = []
        ended = asyncio.Event()

        async def handler(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(protocols=PROTOCOLS)
            await ws.prepare(request)
            command = Command(["sh", "-c", "echo $$; exec sleep 1000"], False, True, False, False)
            await serve(ws, "v5.channel.k8s.io", command, Place(), ENV)
            ended.set()
            return ws

        app = web.Application()
        app.router.add_get("/exec", handler)
        # As in the agent: a handler is not cancelled when its client goes, it notices itself.
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = runner.addresses[0]
        async with ClientSession() as session, asyncio.timeout(10):
            ws = await session.ws_connect(f"http://{address[0]}:{address[1]}/exec", protocols=PROTOCOLS)
            while not pids:
                said = await ws.receive_bytes()
                pids.extend(int(word) for word in said[1:].split())
            await ws.close()
            await ended.wait()
        await runner.cleanup()
        with pytest.raises(ProcessLookupError):
            os.kill(pids[0], 0)

    asyncio.run(scene())


def joined(container: list[str], *, tty: bool, typed: list[bytes], folder: Path) -> tuple[dict[int, bytes], int, str]:
    """Attach to a container's own process and type: what came on each channel, its exit status, its log."""

    async def scene() -> tuple[dict[int, bytes], int, str]:
        log = LogFile(folder / "c.log")
        process = await Process.start(container, Place(), ENV, log, stdin=True, tty=tty)
        ending = asyncio.ensure_future(process.wait())

        async def handler(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(protocols=PROTOCOLS)
            await ws.prepare(request)
            await attach(ws, ws.ws_protocol or "", Command([], True, True, not tty, tty), process)
            return ws

        app = web.Application()
        app.router.add_get("/attach", handler)
        found: dict[int, bytes] = {}
        async with TestServer(app) as server, ClientSession() as session, asyncio.timeout(20):
            ws = await session.ws_connect(server.make_url("/attach"), protocols=["v5.channel.k8s.io"])
            for message in typed:
                await ws.send_bytes(message)
            async for message in ws:
                found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
            return found, await ending, log.path.read_text()

    return asyncio.run(scene())


def test_attached_to_a_terminal(tmp_path: Path) -> None:
    typed = [b'\x04{"Width":100,"Height":40}', b"\x00stty size; exit 7\n"]
    found, code, log = joined(["sh"], tty=True, typed=typed, folder=tmp_path)
    assert b"40 100" in found[1]
    assert status(found)["status"] == "Success"
    assert code == 7
    assert "40 100" in log


def test_attached_to_pipes(tmp_path: Path) -> None:
    script = ["sh", "-c", "read x; echo got $x; echo bad >&2; cat"]
    found, code, log = joined(script, tty=False, typed=[b"\x00one\n", b"\x00two\n", b"\xff\x00"], folder=tmp_path)
    assert (found[1], found[2]) == (b"got one\ntwo\n", b"bad\n")
    assert code == 0
    assert "stdout F got one" in log


def test_a_process_goes_on_when_who_was_attached_leaves(tmp_path: Path) -> None:
    async def scene() -> int:
        process = await Process.start(["sh", "-c", "read x; exit 5"], Place(), ENV, LogFile(tmp_path / "c"), stdin=True)
        ending = asyncio.ensure_future(process.wait())

        async def handler(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(protocols=PROTOCOLS)
            await ws.prepare(request)
            await attach(ws, "v5.channel.k8s.io", Command([], True, True, True, False), process)
            return ws

        app = web.Application()
        app.router.add_get("/attach", handler)
        async with TestServer(app) as server, ClientSession() as session, asyncio.timeout(20):
            first = await session.ws_connect(server.make_url("/attach"), protocols=PROTOCOLS)
            await first.receive_bytes()
            await first.close()
            assert not ending.done()
            second = await session.ws_connect(server.make_url("/attach"), protocols=PROTOCOLS)
            await second.send_bytes(b"\x00go\n")
            return await ending

    assert asyncio.run(scene()) == 5
