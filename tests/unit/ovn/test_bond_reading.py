"""Bonds as nodes tell them: real texts of Open vSwitch 3.1, and the fields that iproute2 prints of a kernel bond."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.ovn.bonds import MARK, Bond, Links, Member, read_links

BOND_SHOW = """
---- bond3 ----
bond_mode: active-backup
bond may use recirculation: no, Recirc-ID : -1
lacp_status: off
active-backup primary: <none>
active member mac: 02:00:00:a8:3a:0b(enp8s0f0)

member enp8s0f0: enabled
  active member
  may_enable: true

member enp8s0f1: enabled
  may_enable: true

---- bond1-members ----
bond_mode: balance-tcp
next rebalance: 772 ms
lacp_status: negotiated
active member mac: 02:00:00:a8:37:0b(enp6s0f1)

member enp6s0f0: disabled
  may_enable: false

member enp6s0f1: enabled
  active member
  may_enable: true

"""
SUSPENDED = """member: enp6s0f0: defaulted detached
  port_id: 2
  may_enable: false

  actor sys_id: 92:69:b9:8a:bb:4c
  actor state: activity aggregation defaulted

  partner sys_id: 00:00:00:00:00:00
  partner state:

"""
CURRENT = """member: enp6s0f1: current attached
  port_id: 1
  may_enable: true

  actor sys_id: 92:69:b9:8a:bb:4c
  actor state: activity aggregation synchronized collecting distributing

  partner sys_id: ae:e9:87:39:5c:4b
  partner state: activity timeout aggregation synchronized collecting distributing

"""
LACP_SHOW = f"---- bond1-members ----\n  status: active negotiated\n  sys_id: 92:69:b9:8a:bb:4c\n\n{SUSPENDED}{CURRENT}"


def link(name: str, *, up: bool = True, rx: int = 0, tx: int = 0, **more: Any) -> dict[str, Any]:
    flags = ["BROADCAST", "UP", *["LOWER_UP"] * up]
    return {"ifname": name, "flags": flags, "stats64": {"rx": {"packets": rx}, "tx": {"packets": tx}}, **more}


def text(links: list[dict[str, Any]], bond_show: str = "", lacp_show: str = "") -> str:
    return f"{json.dumps(links)}\n{MARK}\n{bond_show}{MARK}\n{lacp_show}"


def ovs(*, down: tuple[str, ...] = (), lacp_show: str = LACP_SHOW) -> Links:
    names = ("enp6s0f0", "enp6s0f1", "enp8s0f0", "enp8s0f1")
    links = [link(n, up=n not in down, rx=10 + i, tx=20 + i) for i, n in enumerate(names)]
    return read_links("w1", text(links, BOND_SHOW, lacp_show))


def found(links: Links, name: str, *members: str) -> Bond:
    bond = links.bond(name, members)
    assert bond is not None
    return bond


def test_a_bond_of_open_vswitch_is_found_by_its_members_and_called_as_asked() -> None:
    bond = found(ovs(), "bond1", "enp6s0f1", "enp6s0f0")
    assert str(bond) == "bond1 on w1"
    assert bond.members == (
        Member("enp6s0f0", link=True, used=False, partner="", rx=10, tx=20),
        Member("enp6s0f1", link=True, used=True, partner="ae:e9:87:39:5c:4b", rx=11, tx=21),
    )
    assert ovs().bond("bond2", ["enp7s0f0", "enp7s0f1"]) is None
    assert ovs().bond("bond2", []) is None


def test_a_member_without_a_partner_does_not_work_though_its_link_is_up() -> None:
    bond = found(ovs(), "bond1", "enp6s0f0", "enp6s0f1")
    assert [m.name for m in bond.working] == ["enp6s0f1"]
    assert bond.troubles == ("enp6s0f0 has a link, and LACP has no partner on it",)
    assert bond.partners == ("ae:e9:87:39:5c:4b",)


def test_a_member_without_a_link_does_not_work() -> None:
    bond = found(ovs(down=("enp6s0f1",)), "bond1", "enp6s0f0", "enp6s0f1")
    assert bond.working == ()
    assert bond.troubles[1] == "enp6s0f1 has no link"


def test_a_member_whose_nic_has_another_name_now_is_told_from_one_without_a_link() -> None:
    left = [link("enp6s0f1"), link("renamed0")]
    bond = found(read_links("w1", text(left, BOND_SHOW, LACP_SHOW)), "bond1", "enp6s0f0", "enp6s0f1")
    assert bond.troubles == ("enp6s0f0 is not there: the node has no NIC of that name",)
    assert [m.name for m in bond.working] == ["enp6s0f1"]


def test_a_partner_that_does_not_let_us_use_the_link_is_none() -> None:
    shown = LACP_SHOW.replace("may_enable: true", "may_enable: false")
    assert found(ovs(lacp_show=shown), "bond1", "enp6s0f0", "enp6s0f1").partners == ()


def test_the_spare_of_an_active_backup_works_and_is_not_used() -> None:
    bond = found(ovs(), "bond3", "enp8s0f0", "enp8s0f1")
    assert not bond.lacp
    assert [(m.name, m.used) for m in bond.working] == [("enp8s0f0", True), ("enp8s0f1", False)]


def test_the_words_of_older_versions_are_understood() -> None:
    old = BOND_SHOW.replace("member enp", "slave enp").replace("  active member", "  active slave")
    links = [link("enp6s0f0"), link("enp6s0f1"), link("enp8s0f0"), link("enp8s0f1")]
    bond = found(
        read_links("w1", text(links, old, LACP_SHOW.replace("member:", "slave:"))), "bond3", "enp8s0f0", "enp8s0f1"
    )
    assert [m.used for m in bond.members] == [True, False]


def kernel(mode: str, *slaves: dict[str, Any], partner: str = "ae:e9:87:39:5c:4b") -> Links:
    info = {"mode": mode, "ad_info": {"aggregator": 1, "num_ports": 2, "partner_mac": partner}}
    bond = link("bond1", linkinfo={"info_kind": "bond", "info_data": info})
    return read_links("w1", text([bond, *slaves]))


def slave(name: str, *, state: str = "ACTIVE", port: int = 63, aggregator: int = 1, up: bool = True) -> dict[str, Any]:
    data = {
        "state": state,
        "mii_status": "UP" if up else "DOWN",
        "ad_aggregator_id": aggregator,
        "ad_partner_oper_port_state": port,
    }
    return link(name, up=up, master="bond1", linkinfo={"info_slave_kind": "bond", "info_slave_data": data})


def test_a_kernel_bond_has_negotiated_when_each_link_is_in_the_active_aggregator_and_the_partner_uses_it() -> None:
    bond = found(kernel("802.3ad", slave("a"), slave("b")), "bond1")
    assert [(m.name, m.used, m.partner) for m in bond.members] == [(n, True, "ae:e9:87:39:5c:4b") for n in "ab"]
    assert bond.troubles == ()


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (slave("b", port=0x47), "b has a link, and LACP has no partner on it"),
        (slave("b", aggregator=2), "b has a link, and LACP has no partner on it"),
        (slave("b", up=False), "b has no link"),
    ],
)
def test_a_kernel_bond_tells_which_member_it_lost(lost: dict[str, Any], why: str) -> None:
    bond = found(kernel("802.3ad", slave("a"), lost), "bond1")
    assert [m.name for m in bond.working] == ["a"]
    assert bond.troubles == (why,)


def test_a_kernel_bond_without_a_partner_has_not_negotiated() -> None:
    assert found(kernel("802.3ad", slave("a"), partner="00:00:00:00:00:00"), "bond1").partners == ()


def test_a_kernel_active_backup_uses_its_active_member() -> None:
    bond = found(kernel("active-backup", slave("a", state="BACKUP"), slave("b")), "bond1")
    assert [(m.name, m.used) for m in bond.members] == [("a", False), ("b", True)]
    assert len(bond.working) == 2


@pytest.mark.parametrize("said", ["", "[]", f"{{}}\n{MARK}\n", f"no JSON\n{MARK}\n{MARK}\n"])
def test_anything_else_is_no_reading(said: str) -> None:
    with pytest.raises(ValueError, match=r"three parts|Expecting value"):
        read_links("w1", said)
