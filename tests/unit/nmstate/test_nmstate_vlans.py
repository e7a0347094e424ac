"""VLAN filtering of Linux bridges: planned, shown and verified where the kernel has it, refused where it has not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from nmstate_states import merged, node

from lab.embedded.model.vlans import runs, spans
from lab.embedded.node.nmstate.desired import with_default_vlans
from lab.embedded.node.nmstate.errors import NmstateError
from lab.embedded.node.nmstate.model import Host, PortVlan
from lab.embedded.node.nmstate.notset import not_set
from lab.embedded.node.nmstate.parsing import parse
from lab.embedded.node.nmstate.readback import build
from lab.embedded.node.nmstate.restoration import restoration
from lab.embedded.node.nmstate.show import show
from lab.embedded.node.nmstate.transition import transition
from lab.embedded.node.nmstate.verify import verify

EVERY = tuple(range(2, 4095))
FILTERING = replace(node(), filters=True)


def bridge(*ports: dict[str, Any], **options: Any) -> dict[str, Any]:
    section: dict[str, Any] = {"port": list(ports), "options": options}
    return {"interfaces": [{"name": "br9", "type": "linux-bridge", "state": "up", "bridge": section}]}


def port(name: str = "enp6s0f0", **vlan: Any) -> dict[str, Any]:
    return {"name": name, **({"vlan": {key.replace("_", "-"): value for key, value in vlan.items()}} if vlan else {})}


def shown(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = next(item["bridge"] for item in show(host)["interfaces"] if item["name"] == "br9")
    return found


def changes(current: Host, target: Host) -> list[str]:
    return [line for line in transition(current, target).lines() if "vlan" in line]


def test_runs_of_vlans() -> None:
    assert runs([7, 3, 2, 4, 3]) == [(2, 4), (7, 7)]
    assert spans([]) == []
    assert spans(EVERY) == ["2-4094"]


def test_a_port_without_vlan_trunks_all_and_the_bridge_filters() -> None:
    host = merged(FILTERING, bridge(port()))
    assert host.links["enp6s0f0"].vlan == PortVlan("trunk", None, EVERY)
    assert changes(FILTERING, host) == [
        "ip link set dev br9 type bridge stp_state 0 vlan_filtering 1",
        "bridge vlan add dev enp6s0f0 vid 2-4094",
    ]
    trunk = {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}], "enable-native": False}
    assert shown(host)["port"] == [{"name": "enp6s0f0", "vlan": trunk}]
    assert not_set(parse(with_default_vlans(bridge(port()))), filters=True) == []


def test_an_access_port() -> None:
    host = merged(FILTERING, bridge(port(mode="access", tag=2024)))
    assert changes(FILTERING, host)[1:] == ["bridge vlan add dev enp6s0f0 vid 2024 pvid untagged"]
    assert shown(host)["port"][0]["vlan"] == {"mode": "access", "tag": 2024, "trunk-tags": []}


def test_a_native_vlan_beside_a_trunk() -> None:
    tags = [{"id": 7}, {"id-range": {"min": 10, "max": 12}}]
    document = bridge(port(mode="trunk", trunk_tags=tags, enable_native=True, tag=99))
    host = merged(FILTERING, document)
    assert changes(FILTERING, host)[1:] == [
        "bridge vlan add dev enp6s0f0 vid 7",
        "bridge vlan add dev enp6s0f0 vid 10-12",
        "bridge vlan add dev enp6s0f0 vid 99 pvid untagged",
    ]
    verify(parse(document), host)


def test_from_trunk_to_access_and_to_none() -> None:
    trunk = merged(FILTERING, bridge(port()))
    access = merged(trunk, bridge(port(mode="access", tag=7)))
    assert changes(trunk, access) == [
        "bridge vlan del dev enp6s0f0 vid 2-6",
        "bridge vlan del dev enp6s0f0 vid 8-4094",
        "bridge vlan add dev enp6s0f0 vid 7 pvid untagged",
    ]
    none = merged(access, bridge({"name": "enp6s0f0", "vlan": {}}))
    assert changes(access, none) == [
        "ip link set dev br9 type bridge vlan_filtering 0",
        "bridge vlan del dev enp6s0f0 vid 7",
        "bridge vlan add dev enp6s0f0 vid 1 pvid untagged",
    ]
    assert merged(trunk, {"interfaces": [{"name": "br9", "type": "linux-bridge", "state": "up", "mtu": 1400}]}).links[
        "enp6s0f0"].vlan == trunk.links["enp6s0f0"].vlan  # fmt: skip


def test_the_former_native_vlan_becomes_one_of_the_trunk() -> None:
    tags = [{"id": 8}]
    native = merged(FILTERING, bridge(port(mode="trunk", trunk_tags=tags, enable_native=True, tag=9)))
    trunk = merged(native, bridge(port(mode="trunk", trunk_tags=[{"id": 8}, {"id": 9}])))
    assert changes(native, trunk) == [
        "bridge vlan add dev enp6s0f0 vid 9",
        "bridge vlan add dev enp6s0f0 vid 1 pvid untagged",
    ]


def test_a_port_that_leaves_takes_no_vlan_along_and_a_rollback_gives_them_back() -> None:
    trunk = merged(FILTERING, bridge(port()))
    empty = merged(trunk, bridge())
    assert empty.links["enp6s0f0"].vlan is None
    assert changes(trunk, empty) == ["ip link set dev br9 type bridge vlan_filtering 0"]
    again = restoration(trunk, empty, empty)
    assert "bridge vlan add dev enp6s0f0 vid 2-4094" in changes(empty, again)
    gone = merged(trunk, {"interfaces": [{"name": "br9", "type": "linux-bridge", "state": "absent"}]})
    assert gone.links["enp6s0f0"].vlan is None


def test_default_pvid() -> None:
    host = merged(FILTERING, bridge(port(), **{"vlan-default-pvid": 5}))
    assert "vlan_default_pvid 5" in changes(FILTERING, host)[0]
    assert shown(host)["options"]["vlan-default-pvid"] == 5
    with pytest.raises(NmstateError, match=r"br9 has vlan-default-pvid different than 1 but VLAN filtering is not"):
        merged(FILTERING, bridge(**{"vlan-default-pvid": 5}))


def test_a_kernel_that_cannot_filter_refuses_all_but_the_default_which_is_said() -> None:
    with pytest.raises(NmstateError) as refusal:
        merged(node(), bridge(port(mode="access", tag=5)))
    assert str(refusal.value) == (
        "NmstateError: NotSupportedError: Linux bridge br9: VLAN filtering of port enp6s0f0 cannot be set, the kernel "
        "of this node has no bridge VLAN filtering; leave `vlan` out, or tag on an ovs-bridge"
    )
    with pytest.raises(NmstateError, match="vlan-default-pvid 5 cannot be set, the kernel of this node has no bridge"):
        merged(node(), bridge(port(), **{"vlan-default-pvid": 5}))
    host = merged(node(), bridge(port(), **{"vlan-default-pvid": 1}))
    assert changes(node(), host) == []
    assert not_set(parse(with_default_vlans(bridge(port()))), filters=False)


def test_what_was_not_read_back_fails_the_verification() -> None:
    document = with_default_vlans(bridge(port()))
    host = merged(FILTERING, document)
    verify(parse(document), host)
    bare = replace(host, links={**host.links, "enp6s0f0": replace(host.links["enp6s0f0"], vlan=None)})
    with pytest.raises(NmstateError, match=r"br9\.interface\.bridge\.port\[0\]\.vlan desire .*trunk.*, current 'null'"):
        verify(parse(document), bare)
    verify(parse(document), replace(bare, filters=False))


def test_options_that_are_not_set_are_said() -> None:
    state = bridge({**port(), "stp-priority": 1}, **{"hash-max": 512, "multicast-snooping": True})
    assert not_set(parse(with_default_vlans(state)), filters=True) == [
        "br9: bridge options hash-max are not set, this node's handler does not know them",
        "br9: stp-priority of port enp6s0f0 is not set",
    ]


def link(name: str, **more: Any) -> dict[str, Any]:
    return {"ifname": name, "flags": ["UP"], "mtu": 1500, "address": "02:00:00:00:00:01", **more}


def test_vlans_are_read_back_without_the_default_one() -> None:
    data = {"vlan_filtering": 1, "vlan_default_pvid": 1, "stp_state": 0}
    links = [
        link("br9", linkinfo={"info_kind": "bridge", "info_data": data}),
        link("br8", linkinfo={"info_kind": "bridge", "info_data": {**data, "vlan_filtering": 0}}),
        *(link(name, master="br9") for name in ("enp6s0f0", "enp6s0f1", "enp7s0f0")),
        link("enp7s0f1", master="br8"),
    ]
    untagged = ["PVID", "Egress Untagged"]
    rows = [
        {"ifname": "br9", "vlans": [{"vlan": 1, "flags": untagged}]},
        {"ifname": "enp6s0f0", "vlans": [{"vlan": 1, "flags": untagged}, {"vlan": 2, "vlanEnd": 4094}]},
        {"ifname": "enp6s0f1", "vlans": [{"vlan": 1, "flags": ["Egress Untagged"]}, {"vlan": 7, "flags": untagged}]},
        {"ifname": "enp7s0f0", "vlans": [{"vlan": 1, "flags": untagged}]},
        {"ifname": "enp7s0f1", "vlans": [{"vlan": 1, "flags": untagged}, {"vlan": 2}]},
    ]
    tables: dict[str, Any] = {"Open_vSwitch": [], "Bridge": [], "Port": [], "Interface": []}
    host = build(links, [], tables, nics=[f"enp{n}s0f{i}" for n in (6, 7) for i in (0, 1)], filters=True, vlans=rows)
    assert {name: found.vlan for name, found in host.links.items()} == {
        "br9": None, "br8": None, "enp7s0f0": None, "enp7s0f1": None,
        "enp6s0f0": PortVlan("trunk", None, EVERY), "enp6s0f1": PortVlan("access", 7),
    }  # fmt: skip
    assert dict(host.links["br9"].options)["vlan_filtering"] == 1
