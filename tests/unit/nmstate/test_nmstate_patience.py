"""What a node shows a moment late is waited for, and what it never shows is a failed verification."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from nmstate_states import NICS, node

from lab.embedded.host.ovs import Ovs
from lab.embedded.node.nmstate import apply
from lab.embedded.node.nmstate.errors import NmstateError
from lab.embedded.node.nmstate.model import Host
from lab.embedded.node.nmstate.parsing import parse

WANTED = parse({"interfaces": [{"name": "enp7s0f0", "type": "ethernet", "state": "up", "ipv6": {"enabled": True}}]})


class Late:
    """A node whose kernel gives a link its link-local address after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def read(self) -> Host:
        self.looks -= 1
        host = node()
        local = frozenset() if self.looks >= 0 else frozenset({"fe80::1/64"})
        return replace(host, links={**host.links, "enp7s0f0": replace(host.links["enp7s0f0"], local=local)})


def verified(looks: int, folder: Path) -> None:
    made = apply.Node(Ovs(folder), NICS, folder)
    made.reader = Late(looks)  # type: ignore[assignment]
    asyncio.run(made._verify(WANTED))


def test_a_link_local_address_may_be_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply.VERIFY_ATTEMPTS * apply.VERIFY_PAUSE >= 4.0, "the kernel takes a second, a busy machine longer"
    monkeypatch.setattr(apply, "VERIFY_PAUSE", 0.001)
    verified(apply.VERIFY_ATTEMPTS - 1, tmp_path)
    with pytest.raises(NmstateError, match=r"enp7s0f0\.interface\.ipv6\.enabled desire 'true', current 'false'"):
        verified(apply.VERIFY_ATTEMPTS, tmp_path)
