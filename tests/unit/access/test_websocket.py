"""How streams are opened: read in large pieces, nothing lost between the handshake and the first frame."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from aiohttp import web

from lab.access.client import Client
from lab.access.errors import ServerError, Throttled
from lab.core.deadline import Deadline
from tests.unit.access.fakeapi import FakeApi, connect, status


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all that was read from sockets connected while this is in place."""
    sizes: list[int] = []

    class Counting(socket.socket):
        def recv(self, *args: Any) -> bytes:
            data = super().recv(*args)
            sizes.append(len(data))
            return data

    def create_connection(address: tuple[str, int], timeout: float) -> socket.socket:
        made = Counting(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.connect(address)
        return made

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return sizes


def test_a_stream_is_read_in_few_pieces_and_whole(tmp_path: Any, reads: list[int]) -> None:
    text = "".join(f"{number}\n" for number in range(20_000))

    async def answer(_request: web.Request, ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"\x01" + text.encode())
        await ws.send_bytes(b'\x03{"status": "Success"}')

    with FakeApi() as api:
        api.exec = answer
        client: Client = connect(api, tmp_path)
        done = client.exec("a", "demo", "main", ["seq"], deadline=Deadline.after(10))
    assert done.stdout == text
    assert sum(reads) > len(text)
    assert len(reads) < 100


EXEC = "GET /api/v1/namespaces/demo/pods/a/exec"


def busy(_request: web.Request) -> web.Response:
    answer = status(429, "TooManyRequests", "too many requests, please try again later")
    answer.headers["Retry-After"] = "1"
    return answer


async def well(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
    await ws.prepare(request)
    await ws.send_bytes(b'\x03{"status": "Success"}')
    await ws.close()
    return ws


def test_a_stream_that_is_one_too_many_is_opened_when_the_server_says_so(tmp_path: Any) -> None:
    with FakeApi() as api:
        api.say(EXEC, busy, well)
        client: Client = connect(api, tmp_path)
        began = time.monotonic()
        assert client.exec("a", "demo", "main", ["true"], deadline=Deadline.after(10)).ok
        assert time.monotonic() - began >= 1.0
        api.say(EXEC, busy)
        with pytest.raises(Throttled, match="429 TooManyRequests"):
            client.exec("a", "demo", "main", ["true"], deadline=Deadline.after(1.5))


def test_a_stream_that_is_refused_for_good_is_asked_for_once(tmp_path: Any) -> None:
    with FakeApi() as api:
        api.say(EXEC, lambda r: status(500, "InternalError", "VMI is not running"))
        client: Client = connect(api, tmp_path)
        with pytest.raises(ServerError, match="VMI is not running"):
            client.exec("a", "demo", "main", ["true"], deadline=Deadline.after(5))
        assert sum(path.endswith("/exec") for _, path, _, _ in api.requests) == 1
