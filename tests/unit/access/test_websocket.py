"""How streams are opened: read in large pieces, nothing lost between the handshake and the first frame."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp import web

from lab.access.client import Client
from lab.core.deadline import Deadline
from tests.unit.access.fakeapi import FakeApi, connect


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
