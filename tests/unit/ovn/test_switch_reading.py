"""Four tables of a real ovs-vsctl, typed; and whether networks pass yet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.ovn.switch import dark, localnet_port, parse_mappings, read_switch

PATCH = "patch-vlan.2024_ovn_localnet_port-to-br-int"


def table(*rows: dict[str, Any]) -> str:
    headings = sorted({key for row in rows for key in row})
    return json.dumps({"headings": headings, "data": [[row[h] for h in headings] for row in rows]})


def port(uuid: str, name: str, interfaces: list[str], state: str = "", tag: Any = ("set", [])) -> dict[str, Any]:
    members = [["uuid", i] for i in interfaces]
    return {
        "_uuid": ["uuid", uuid],
        "name": name,
        "interfaces": members[0] if len(members) == 1 else ["set", members],
        "status": ["map", [["stp_state", state], ["stp_sec_in_state", "7"]] if state else []],
        "tag": list(tag) if isinstance(tag, tuple) else tag,
        "trunks": ["set", []],
    }


def interface(uuid: str, name: str, type_: str = "") -> dict[str, Any]:
    return {"_uuid": ["uuid", uuid], "name": name, "type": type_, "link_state": "up"}


def output(patch_state: str = "forwarding", *, patch: bool = True, mapped: bool = True, stp: bool = True) -> str:
    mappings = "physnet:br-ex,vlan-2024:ovs-br1" if mapped else "physnet:br-ex"
    ports = [port("p1", "bond2", ["i1", "i2"])] + ([port("p2", PATCH, ["i3"], patch_state)] if patch else [])
    uuids = [["uuid", p["_uuid"][1]] for p in ports]
    return "\n".join(
        [
            table({"_uuid": ["uuid", "o"], "external_ids": ["map", [["ovn-bridge-mappings", mappings]]]}),
            table({"_uuid": ["uuid", "b"], "name": "ovs-br1", "ports": ["set", uuids], "stp_enable": stp}),
            table(*ports),
            table(interface("i1", "a"), interface("i2", "b"), interface("i3", PATCH, "patch")),
        ]
    )


def test_tables_are_read_into_ports_mappings_and_spanning_tree() -> None:
    switch = read_switch("w1", output())
    assert switch.mappings == {"physnet": "br-ex", "vlan-2024": "ovs-br1"}
    assert switch.stp == {"ovs-br1": True}
    assert [p.interfaces for p in switch.on("ovs-br1")] == [("a", "b"), (PATCH,)]
    found = switch.patch(localnet_port("vlan-2024"))
    assert found is not None
    assert (found.stp, found.stp_seconds, found.types) == ("forwarding", 7, ("patch",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (output("forwarding"), ""),
        (output("", stp=False), ""),
        (output("listening"), "vlan-2024: listening for 7 s"),
        (output(""), "vlan-2024: no spanning tree state"),
        (output(patch=False), "no patch port for vlan-2024 on ovs-br1"),
        (output(mapped=False), "vlan-2024 is mapped to no bridge"),
    ],
)
def test_a_network_is_dark_for_a_reason(text: str, reason: str) -> None:
    found = dark(read_switch("w1", text), {"vlan-2024": "vlan-2024"})
    assert reason in "; ".join(found)
    assert bool(found) == bool(reason)


@pytest.mark.parametrize("text", ["", "not json", "{}", table({"_uuid": ["uuid", "o"]})])
def test_what_is_no_four_tables_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_switch("w1", text)


def test_mappings_are_parsed_with_blanks() -> None:
    assert parse_mappings(" a:b , c:d,") == {"a": "b", "c": "d"}
    assert parse_mappings("") == {}
