"""A localnet on the wrong bridge, on a node where OVN leaves patch ports that are there where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults import waiting
from tests.unit.faults.fakelab import OnePlace

ENDS = {"patch-br-int-to-v24", "patch-v24-to-br-int"}


class Node:
    """Open vSwitch with one localnet; OVN makes its patch port where the mapping says, if there is none."""

    def __init__(self) -> None:
        self.mappings = "physnet:br-ex,vlan-2024:ovs-br1"
        self.at = "ovs-br1"
        self.missing: set[str] = set()
        self.dead = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ovs-vsctl", "list-br"]:
                return "br-ex\nbr-int\novs-br1\n"
            case ["ovs-vsctl", "--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings"]:
                return f'"{self.mappings}"\n'
            case ["ovs-vsctl", "set", "Open_vSwitch", ".", word]:
                self.mappings = word.partition("=")[2]
            case ["ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch_Port", "type=localnet", which]:
                return "v24\n" if which == "options:network_name=vlan-2024" else ""
            case ["ovs-vsctl", "--bare", "--columns=name", "find", "Port", "external_ids:ovn-localnet-port=v24"]:
                return "\n".join(ENDS - self.missing)
            case ["ovs-vsctl", "--if-exists", "del-port", port]:
                self.missing.add(port)
                if self.missing == ENDS and not self.dead:
                    mapped = dict(pair.split(":") for pair in self.mappings.split(","))
                    self.at, self.missing = mapped["vlan-2024"], set()
            case ["ovs-vsctl", "list-ports", bridge]:
                return "patch-v24-to-br-int\n" if bridge == self.at and not self.missing else "enp1s0\n"
            case _:
                raise AssertionError(argv)
        return ""


Lab = OnePlace[Node]
SET = ("bridge-mapping-wrong", "node=worker-1", "localnet=vlan-2024")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return OnePlace(tmp_path, Node())


def test_the_patch_port_goes_where_the_wrong_mapping_says_and_back(lab: Lab) -> None:
    lab.set(*SET, "bridge=br-ex")
    assert (lab.place.mappings, lab.place.at) == ("physnet:br-ex,vlan-2024:br-ex", "br-ex")
    lab.heal()
    assert (lab.place.mappings, lab.place.at) == ("physnet:br-ex,vlan-2024:ovs-br1", "ovs-br1")


def test_a_mapping_that_a_policy_wrote_anew_meanwhile_is_left_alone(lab: Lab) -> None:
    lab.set(*SET, "bridge=br-ex")
    lab.place.mappings = "vlan-2024:br-other"
    lab.heal()
    assert lab.place.mappings == "vlan-2024:br-other"


def test_a_bridge_that_is_none_or_the_right_one_is_refused(lab: Lab) -> None:
    with pytest.raises(UsageError, match="wanted an Open vSwitch bridge of this lab: 'br9'"):
        lab.set(*SET, "bridge=br9")
    with pytest.raises(FaultError, match="wanted another bridge than ovs-br1: the mapping is vlan-2024:ovs-br1"):
        lab.set(*SET, "bridge=ovs-br1")


def test_an_ovn_that_makes_no_patch_port_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.comes_true, "__defaults__", (0.0,))
    lab.place.dead = True
    with pytest.raises(FaultError, match="wanted OVN to make the patch port of vlan-2024 on br-ex of worker-1"):
        lab.set(*SET, "bridge=br-ex")
