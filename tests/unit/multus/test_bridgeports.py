"""A real bridge with two pods' cables and a NIC, one pod's spoof check in nftables, as the tools print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.multus.bridgeports import MARK, read_bridge

TEXT = Path(__file__).with_name("bridge.txt").read_text()
FIRST, SECOND, SWITCH = "02:00:00:00:52:11", "02:00:00:00:52:12", "02:00:00:00:52:fe"


def test_ports_their_state_and_who_was_heard_on_them() -> None:
    found = read_bridge("br1", TEXT)
    assert found is not None
    assert sorted(found.ports) == ["ens3", "veth1", "veth2"]
    port = found.ports["veth1"]
    assert (port.state, port.link, port.rx, port.tx, port.kind) == ("forwarding", True, 6, 25, "veth")
    assert found.heard == {FIRST: ("veth1", 1), SECOND: ("veth2", 1), SWITCH: ("ens3", 1)}
    assert found.allowed == {"veth1": FIRST}


def test_no_table_is_told_from_no_rule() -> None:
    head, _, _ = TEXT.rpartition(MARK)
    found = read_bridge("br1", f"{head}{MARK}\n")
    assert found is not None
    assert found.allowed is None


def test_vlans_count_where_the_bridge_filters() -> None:
    parts = TEXT.split(MARK)
    filtering = parts[0].replace(
        '"info_kind":"bridge","info_data":{', '"info_kind":"bridge","info_data":{"vlan_filtering":1,'
    )
    filtering = filtering.replace('"vlan_filtering":0,', "")
    vlans = '\n[{"ifname":"veth1","vlans":[{"vlan":1},{"vlan":2024,"flags":["PVID"]}]}]\n'
    found = read_bridge("br1", MARK.join([filtering, parts[1], vlans, parts[3]]))
    assert found is not None
    assert (found.filtering, found.ports["veth1"].vlans) == (True, (1, 2024))


def test_what_is_no_bridge_or_no_answer() -> None:
    assert read_bridge("br9", TEXT) is None
    assert read_bridge("veth1", TEXT) is None
    with pytest.raises(ValueError, match="wanted four parts, found 1: 'sh: ip: not found'"):
        read_bridge("br1", "sh: ip: not found")
