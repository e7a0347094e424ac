"""Commands in pods, against a scripted API server: status, both streams, and ends that prove nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fakeapi import FakeApi, connect

from lab.access.client import Client
from lab.access.errors import NotFound
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, Inconclusive, ToolMissing


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as running:
        yield running


@pytest.fixture
def client(api: FakeApi, tmp_path: Path) -> Iterator[Client]:
    connected = connect(api, tmp_path)
    yield connected
    connected.close()


async def _answer(ws: web.WebSocketResponse, out: bytes, err: bytes, end: dict[str, Any] | None) -> None:
    await ws.send_bytes(b"\x01" + out)
    await ws.send_bytes(b"\x02" + err)
    if end is not None:
        await ws.send_bytes(b"\x03" + json.dumps(end).encode())


FAILED = {
    "status": "Failure",
    "reason": "NonZeroExitCode",
    "message": "command terminated with exit code 42",
    "details": {"causes": [{"reason": "ExitCode", "message": "42"}]},
}


def run(client: Client, seconds: float = 5, **options: Any) -> Any:
    return client.exec("a", "demo", "main", ["ls", "a b"], deadline=Deadline.after(seconds), **options)


def test_exec_gives_status_and_both_streams(api: FakeApi, client: Client) -> None:
    api.exec = lambda request, ws: _answer(ws, b"out\n", b"err\n", FAILED)
    result = run(client)
    assert (result.exit_code, result.stdout, result.stderr) == (42, "out\n", "err\n")
    api.exec = lambda request, ws: _answer(ws, b"", b"", {"status": "Success"})
    assert run(client).ok


def test_exec_without_a_status_is_inconclusive(api: FakeApi, client: Client) -> None:
    api.exec = lambda request, ws: _answer(ws, b"half", b"", None)
    with pytest.raises(Inconclusive, match="half"):
        run(client)


def test_exec_of_a_missing_program_names_it(api: FakeApi, client: Client) -> None:
    end = {"status": "Failure", "reason": "InternalError", "message": 'exec: "ls": executable file not found'}
    api.exec = lambda request, ws: _answer(ws, b"", b"", end)
    with pytest.raises(ToolMissing, match="executable file not found"):
        run(client)


def test_exec_past_its_deadline_keeps_what_came(api: FakeApi, client: Client) -> None:
    async def hang(request: web.Request, ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"\x01so far")
        await ws.receive()

    api.exec = hang
    with pytest.raises(EnvironmentTimeout, match="so far"):
        run(client, seconds=0.5)


def test_exec_sends_stdin_and_says_that_it_ends(api: FakeApi, client: Client) -> None:
    got = bytearray()

    async def cat(request: web.Request, ws: web.WebSocketResponse) -> None:
        while (message := await ws.receive_bytes()) != b"\xff\x00":
            got.extend(message[1:])
        await _answer(ws, bytes(got), b"", {"status": "Success"})

    api.exec = cat
    data = os.urandom(50000)
    run(client, stdin=data)
    assert bytes(got) == data


def test_exec_into_a_missing_pod_is_not_found(api: FakeApi, client: Client) -> None:
    with pytest.raises(NotFound, match="Pod demo/a"):
        run(client)
