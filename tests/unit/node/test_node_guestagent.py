"""The guest agent's client against a scripted agent on a real socket, well-behaved and hostile."""

import asyncio
from pathlib import Path

import pytest
from agentdouble import play

from lab.embedded.node import guestagent
from lab.embedded.node.guestagent import AgentRefused, AgentSilent, GuestAgent, interfaces, os_info, pause


def test_an_answer(tmp_path: Path) -> None:
    async def body(agent: GuestAgent) -> None:
        assert await agent.ask("guest-get-host-name") == {"host-name": "vm"}
        assert await agent.ask("guest-get-host-name") == {"host-name": "vm"}

    play(tmp_path, lambda _message: b'{"return": {"host-name": "vm"}}\n', body)


def test_a_refusal_is_no_silence(tmp_path: Path) -> None:
    async def body(agent: GuestAgent) -> None:
        with pytest.raises(AgentRefused, match="disabled"):
            await agent.ask("guest-exec")

    play(tmp_path, lambda _message: b'{"error": {"class": "CommandNotFound", "desc": "disabled"}}\n', body)


@pytest.mark.parametrize("reply", [b"", b"garbage\n", b"[]\n", b'{"return": ' + b"9" * (1 << 21)])
def test_hostile_answers_end_in_one_error(tmp_path: Path, reply: bytes) -> None:
    async def body(agent: GuestAgent) -> None:
        with pytest.raises(AgentSilent, match="wanted the guest agent to answer guest-info"):
            await agent.ask("guest-info", timeout=0.3)

    play(tmp_path, lambda _message: reply, body)


def test_nobody_there(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(AgentSilent):
            await GuestAgent(tmp_path / "none").ask("guest-info")

    asyncio.run(body())


def test_interfaces_keep_only_what_has_the_right_shape() -> None:
    answer = [
        {"name": "eth0", "hardware-address": "02:00:00:00:00:01",
         "ip-addresses": [{"ip-address": "192.0.2.1", "prefix": 24}, {"bad": 1}, 7]},
        {"name": 5},
        "x",
        {"name": "lo"},
    ]  # fmt: skip
    assert interfaces(answer) == [
        {"name": "eth0", "mac": "02:00:00:00:00:01", "addresses": ["192.0.2.1"]},
        {"name": "lo", "mac": "", "addresses": []},
    ]
    assert interfaces({"not": "a list"}) == []


def test_os_info() -> None:
    assert os_info({"pretty-name": "virtlab guest", "id": "virtlab", "junk": 1}) == {
        "prettyName": "virtlab guest",
        "id": "virtlab",
    }
    assert os_info(None) == {}


def test_pauses_grow() -> None:
    assert [pause(n) for n in range(10)] == [0.5, 1, 2, 4, 10, 20, 40, 80, 120, 120]
    assert guestagent.STEADY[-1] == 120
