"""From a node and a desired state to the node that shall be, and the commands between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nmstate_seed as seed
import pytest
import yaml
from nmstate_states import merged, node

from lab.embedded.node.nmstate.desired import with_default_vlans
from lab.embedded.node.nmstate.errors import NmstateError
from lab.embedded.node.nmstate.model import Host, Port, Route
from lab.embedded.node.nmstate.notset import not_set
from lab.embedded.node.nmstate.parsing import parse
from lab.embedded.node.nmstate.restoration import restoration
from lab.embedded.node.nmstate.transition import Steps, transition
from lab.embedded.node.nmstate.verify import verify

HEADLINE = yaml.safe_load(seed.BOND2)["interfaces"] + yaml.safe_load(seed.OVS_BR1)["interfaces"]


def policy(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def interface(**fields: Any) -> dict[str, Any]:
    return {"interfaces": [{key.replace("_", "-"): value for key, value in fields.items()}]}


def test_bond_alone_lives_in_a_private_bridge_named_as_itself() -> None:
    host = merged(node(), policy(seed.BONDING_POLICY))
    bridge, port = host.bonds()["bond1"]
    assert (bridge.name, bridge.role, port.members) == ("bond1", "bond", ("enp6s0f0", "enp6s0f1"))
    assert port.bond is not None
    assert (port.bond.lacp, port.bond.bond_mode) == ("active", "balance-tcp")
    assert port.bond.other == (("bond-rebalance-interval", "1000"), ("lacp-time", "slow"))
    assert host.links["bond1"].up


def test_bond_and_bridge_in_one_policy_are_one_transaction() -> None:
    target = merged(node(), {"interfaces": HEADLINE, "ovn": policy(seed.OVS_BR1)["ovn"]})
    steps = transition(node(), target)
    text = " ".join(steps.ovs)
    assert "add-br ovs-br1 -- set Bridge ovs-br1 datapath_type=netdev -- set Bridge ovs-br1 stp_enable=true" in text
    assert 'create Port name="bond2" interfaces=[@pbond20,@pbond21] -- add Bridge ovs-br1 ports @pbond2' in text
    assert "lacp=active bond_mode=balance-tcp bond_updelay=0 bond_downdelay=0" in text
    assert 'other_config:lacp-time="slow"' in text
    assert 'external_ids:ovn-bridge-mappings="physnet:br-ex,vlan-1993:ovs-br1,vlan-2024:ovs-br1"' in text
    assert "add-br bond2" not in text
    assert steps.offloads == ("enp7s0f0", "enp7s0f1")


def test_lacp_begins_anew_where_its_rate_changes_and_nowhere_else() -> None:
    slow = merged(node(), policy(seed.BONDING_POLICY))
    options = policy(seed.BONDING_POLICY)
    options["interfaces"][0]["link-aggregation"]["options"] = {"lacp_rate": "fast"}
    fast = merged(slow, options)
    assert transition(slow, fast).lacp_restart == ("bond1-members",)
    assert transition(fast, slow).lacp_restart == ("bond1-members",)
    assert transition(node(), fast).lacp_restart == ()
    options["interfaces"][0]["link-aggregation"]["options"]["updelay"] = 100
    assert transition(fast, merged(fast, options)).lacp_restart == ()


def test_unknown_port_of_an_ovs_bridge_becomes_an_internal_interface_and_verifies() -> None:
    host = merged(node(), policy(seed.OVS_BR1))
    assert host.bridges["ovs-br1"].ports["bond2"] == Port("bond2", "internal")
    verify(parse(policy(seed.OVS_BR1)), host)


def test_the_bond_that_comes_later_takes_the_internal_ports_place() -> None:
    host = merged(merged(node(), policy(seed.OVS_BR1)), policy(seed.BOND2))
    port = host.bridges["ovs-br1"].ports["bond2"]
    assert (port.kind, port.members) == ("bond", ("enp7s0f0", "enp7s0f1"))
    assert "bond2" not in host.links


def test_bond_moves_from_alone_into_a_bridge_and_back() -> None:
    alone = merged(node(), policy(seed.BOND2))
    inside = merged(alone, policy(seed.OVS_BR1))
    assert inside.bonds()["bond2"][0].name == "ovs-br1"
    assert "bond2" not in inside.bridges
    moved = transition(alone, inside).ovs
    assert moved[:3] == ("--if-exists", "del-br", "bond2")
    back = merged(inside, interface(name="ovs-br1", type="ovs-bridge", state="absent"))
    assert back.bonds()["bond2"][0].role == "bond"
    assert back.bonds()["bond2"][1].members == ("enp7s0f0", "enp7s0f1")


@pytest.mark.parametrize("text", [seed.BONDING_POLICY, seed.OVS_BR1, seed.BOND2, seed.BR1_ENS3, seed.LOCALNET_COE])
def test_a_second_apply_changes_nothing(text: str) -> None:
    once = merged(node(), policy(text))
    assert transition(once, merged(once, policy(text))) == Steps()


def test_policies_over_one_nic_take_it_from_each_other() -> None:
    first = merged(node(), policy(seed.BOND2))
    second = merged(first, interface(name="bond3", type="bond", link_aggregation={"mode": 1, "port": ["enp7s0f0"]}))
    assert second.bonds()["bond2"][1].members == ("enp7s0f1",)
    assert second.bonds()["bond3"][1].members == ("enp7s0f0",)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (interface(name="bond1", type="bond", link_aggregation={"mode": 4, "port": ["nope"]}),
         "InvalidArgument: Controller interface bond1 is holding unknown port nope"),
        (interface(name="br1", type="linux-bridge", state="up", bridge={"port": [{"name": "nope"}]}),
         "InvalidArgument: Controller interface br1 is holding unknown port nope"),
        (interface(name="bond1", type="bond", link_aggregation={"port": ["enp6s0f0"]}),
         "InvalidArgument: Bond mode is mandatory for new bond interface: bond1"),
        (interface(name="eth9"), "InvalidArgument: Failed to find unknown type interface eth9 in current state"),
        (interface(name="br-int", type="ovs-bridge", state="absent"), "br-int belongs to OVN"),
        (interface(name="ens3", type="ethernet", mtu=9001), "bigger than maximum allowed MTU 9000"),
        (interface(name="b", type="bond", link_aggregation={"mode": "broadcast", "port": ["enp6s0f0"]}),
         "NotSupportedError: Bond b: mode broadcast cannot be realised"),
    ],
)  # fmt: skip
def test_refusals_that_need_the_node(document: dict[str, Any], message: str) -> None:
    with pytest.raises(NmstateError, match=message):
        merged(node(), document)


def leased(address: str = "192.168.52.11/24") -> Host:
    """A worker whose main NIC has its address by DHCP."""
    host = node()
    link = replace(host.links["ens3"], addresses=frozenset(), dynamic=frozenset({address}))
    return replace(host, links={**host.links, "ens3": link}, dhcp=frozenset({"ens3"}))


@pytest.mark.parametrize("section", [{"enabled": True}, {"enabled": True, "dhcp": True}])
def test_what_is_not_said_about_an_address_stays(section: dict[str, Any]) -> None:
    assert merged(leased(), interface(name="ens3", type="ethernet", ipv4=section)) == leased()
    static = interface(name="ens3", type="ethernet", ipv4={"enabled": True})
    assert merged(node(), static) == node()


def test_a_leased_address_becomes_static_when_dhcp_is_switched_off_and_none_is_given() -> None:
    off = merged(leased(), interface(name="ens3", type="ethernet", ipv4={"enabled": True, "dhcp": False}))
    assert (off.links["ens3"].addresses, off.links["ens3"].dynamic) == ({"192.168.52.11/24"}, frozenset())
    assert not off.dhcp
    steps = transition(leased(), off)
    assert (steps.dhcp_stop, steps.before, steps.after) == (
        ("ens3",), ("addr del 192.168.52.11/24 dev ens3",), ("addr replace 192.168.52.11/24 dev ens3",))  # fmt: skip
    given = {"enabled": True, "dhcp": False, "address": [{"ip": "192.168.52.77", "prefix-length": 24}]}
    assert merged(leased(), interface(name="ens3", type="ethernet", ipv4=given)).links["ens3"].addresses == {
        "192.168.52.77/24"
    }


def test_the_main_nics_lease_moves_to_the_bridge_and_back() -> None:
    under = merged(leased(), policy(seed.BR1_ENS3))
    there = transition(leased(), under)
    assert (there.dhcp_stop, there.before, there.dhcp_start) == (
        ("ens3",), ("addr del 192.168.52.11/24 dev ens3",), ("br1",))  # fmt: skip
    bridge = replace(under.links["br1"], dynamic=frozenset({"192.168.52.11/24"}))
    under = replace(under, links={**under.links, "br1": bridge})
    inverse = {"interfaces": [
        {"name": "br1", "type": "linux-bridge", "state": "absent"},
        {"name": "ens3", "type": "ethernet", "state": "up", "ipv4": {"enabled": True, "dhcp": True}},
    ]}  # fmt: skip
    back = transition(under, merged(under, inverse))
    assert (back.dhcp_stop, back.before[0], back.dhcp_start) == (("br1",), "link del dev br1", ("ens3",))


def copying(source: str, kind: str = "linux-bridge", name: str = "br1") -> dict[str, Any]:
    return interface(name=name, type=kind, copy_mac_from=source, bridge={"port": [{"name": "ens3"}]})


def test_a_bridge_takes_the_hardware_address_that_it_is_told_to() -> None:
    host = merged(node(), copying("enp6s0f0"))
    assert host.links["br1"].mac == node().links["enp6s0f0"].mac
    assert f"link set dev br1 address {host.links['br1'].mac}" in transition(node(), host).after
    assert transition(host, merged(host, copying("enp6s0f0"))) == Steps()
    verify(parse(copying("enp6s0f0")), host)
    other = replace(host, links={**host.links, "br1": replace(host.links["br1"], mac="02:00:00:00:00:99")})
    with pytest.raises(NmstateError, match=r"br1\.interface\.mac-address desire '\"02:00:00:00:00:02\"', current"):
        verify(parse(copying("enp6s0f0")), other)
    with pytest.raises(NmstateError, match="Failed to find interface nope for copy-mac-from of iface br1"):
        merged(node(), copying("nope"))


def test_a_nic_does_not_copy() -> None:
    same = interface(name="enp6s0f0", type="ethernet", copy_mac_from="ens3")
    assert merged(node(), same).links["enp6s0f0"].mac == node().links["enp6s0f0"].mac


def test_what_the_node_cannot_have_is_said() -> None:
    dhcp = {"enabled": True, "dhcp": True, "auto-gateway": False, "auto-dns": False, "dhcp-client-id": "mac"}
    bond = {"mode": "balance-rr", "port": [], "options": {"miimon": 100, "xmit_hash_policy": "layer2"}}
    state = {"interfaces": [
        *policy(seed.BR1_ENS3)["interfaces"],
        {"name": "enp6s0f0", "type": "ethernet", "ipv4": dhcp},
        {"name": "bond9", "type": "bond", "link-aggregation": bond},
        {"name": "bond8", "type": "bond", "state": "absent"},
    ]}  # fmt: skip
    assert not_set(parse(with_default_vlans(state)), filters=False) == [
        "br1: VLAN filtering of ens3 (trunk 2-4094) is not set, the kernel has no bridge VLAN filtering; "
        "the bridge passes all VLANs",
        "enp6s0f0: auto-gateway: false, dhcp-client-id is not set, the node's DHCP client takes what the server gives",
        "bond9: bond options xmit_hash_policy have no counterpart in Open vSwitch",
        "bond9: mode balance-rr is realised as balance-slb of Open vSwitch",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"interfaces": [*yaml.safe_load(seed.BOND2)["interfaces"],
                         {"name": "bond3", "type": "bond", "link-aggregation": {"mode": 4, "port": ["enp7s0f1"]}}]},
         "InvalidArgument: Port enp7s0f1 is overbooked by two controller: bond3, bond2"),
        ({"interfaces": [*yaml.safe_load(seed.BOND2)["interfaces"],
                         {"name": "br9", "type": "linux-bridge", "bridge": {"port": [{"name": "enp7s0f0"}]}}]},
         "InvalidArgument: Port enp7s0f0 is overbooked by two controller: br9, bond2"),
    ],
)  # fmt: skip
def test_a_nic_in_two_bonds_of_one_policy_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(NmstateError, match=message):
        merged(node(), document)


def test_main_nic_under_a_linux_bridge_gives_its_address_up() -> None:
    steps = transition(node(), merged(node(), policy(seed.BR1_ENS3)))
    assert steps.before == ("addr del 192.168.52.11/24 dev ens3",)
    assert steps.after == (
        "link add dev br1 type bridge",
        "link set dev br1 type bridge stp_state 0",
        "link set dev br1 up",
        "link set dev ens3 master br1",
    )
    assert steps.dhcp_start == ("br1",)


def test_rollback_undoes_the_apply_and_nothing_else() -> None:
    before = replace(node(), routes=node().routes | {Route("0.0.0.0/0", "192.168.52.1", "ens3")})
    planned = merged(before, policy(seed.BR1_ENS3))
    assert not any(r.via for r in planned.routes), "a route cannot outlive the address that reaches its gateway"
    # Meanwhile OVN made a port and another policy's mapping came: not ours to undo.
    br_int = planned.bridges["br-int"]
    now = replace(
        planned,
        bridges={**planned.bridges, "br-int": replace(br_int, ports={**br_int.ports, "new": Port("new")})},
        mappings={**planned.mappings, "other": "br-ex"},
        routes=frozenset(),
    )
    back = restoration(before, planned, now)
    assert back.links == before.links
    assert "new" in back.bridges["br-int"].ports
    assert back.mappings == {"other": "br-ex", "physnet": "br-ex"}
    steps = transition(now, back)
    assert steps.before == ("link del dev br1", "link set dev ens3 nomaster")
    assert steps.after[0] == "addr replace 192.168.52.11/24 dev ens3"
    assert "route replace 0.0.0.0/0 via 192.168.52.1 dev ens3 table 254 proto static" in steps.after
    assert steps.dhcp_stop == ("br1",)


def test_mappings_merge_and_leave() -> None:
    host = merged(node(), policy(seed.LOCALNET_COE))
    assert host.mappings == {"localnet-coe": "br-ex", "physnet": "br-ex"}
    gone = merged(host, {"ovn": {"bridge-mappings": [{"localnet": "localnet-coe", "state": "absent"}]}})
    assert gone.mappings == node().mappings


def test_bridge_of_a_mapping_need_not_exist() -> None:
    document = {"ovn": {"bridge-mappings": [{"localnet": "x", "bridge": "nowhere"}]}}
    verify(parse(document), merged(node(), document))


def test_patch_ports_of_ovn_stay_and_need_to_be_allowed() -> None:
    host = merged(node(), {"interfaces": HEADLINE})
    bridge = host.bridges["ovs-br1"]
    patch = Port("patch-x-to-br-int", "patch", peer="y")
    host = replace(
        host, bridges={**host.bridges, "ovs-br1": replace(bridge, ports={**bridge.ports, patch.name: patch})}
    )
    again = merged(host, {"interfaces": HEADLINE})
    assert patch.name in again.bridges["ovs-br1"].ports
    verify(parse({"interfaces": HEADLINE}), again)
    strict = [dict(HEADLINE[0]), {**HEADLINE[1], "bridge": {"port": [{"name": "bond2"}]}}]
    with pytest.raises(NmstateError, match=r"Verification failure: ovs-br1.interface.bridge.port desire"):
        verify(parse({"interfaces": strict}), again)


def test_removed_bridge_leaves_its_nic_down_and_free() -> None:
    document = interface(name="ovs-br1", type="ovs-bridge", bridge={"port": [{"name": "enp6s0f0"}]})
    host = merged(merged(node(), document), interface(name="ovs-br1", type="ovs-bridge", state="absent"))
    assert not host.links["enp6s0f0"].up
    assert host.controller_of("enp6s0f0") == ""


def test_verification_names_the_place_and_both_values() -> None:
    document = with_default_vlans(policy(seed.OVS_BR1))
    host = merged(node(), document)
    broken = replace(host, bridges={**host.bridges, "ovs-br1": replace(host.bridges["ovs-br1"], stp=False)})
    with pytest.raises(NmstateError) as caught:
        verify(parse(document), broken)
    assert str(caught.value) == (
        "NmstateError: VerificationError: Verification failure: ovs-br1.interface.bridge.options.stp.enabled "
        "desire 'true', current 'false'"
    )


@pytest.mark.parametrize("missing", ["eth9", "bond9"])
def test_missing_interface_is_a_verification_failure(missing: str) -> None:
    kind = "ethernet" if missing == "eth9" else "bond"
    desired = parse(interface(name=missing, type=kind))
    with pytest.raises(NmstateError, match=f"Failed to find desired interface {missing} {kind.capitalize()}"):
        verify(desired, node())


def test_port_that_ovs_cannot_open_is_not_success() -> None:
    document = interface(name="ovs-br1", type="ovs-bridge", bridge={"port": [{"name": "enp6s0f0"}]})
    host = merged(node(), document)
    bad = replace(host.bridges["ovs-br1"].ports["enp6s0f0"], error="enp6s0f0: could not open network device")
    host = replace(host, bridges={**host.bridges, "ovs-br1": replace(host.bridges["ovs-br1"], ports={bad.name: bad})})
    with pytest.raises(NmstateError, match="could not open network device"):
        verify(parse(document), host)


def test_static_address_and_route() -> None:
    document = {
        **interface(name="enp6s0f0", type="ethernet", mtu=1400,
                    ipv4={"enabled": True, "address": [{"ip": "10.0.0.1", "prefix-length": 24}]}),
        "routes": {"config": [{"destination": "10.9.0.0/16", "next-hop-address": "10.0.0.254",
                               "next-hop-interface": "enp6s0f0"}]},
    }  # fmt: skip
    host: Host = merged(node(), document)
    assert transition(node(), host).after == (
        "link set dev enp6s0f0 mtu 1400",
        "addr replace 10.0.0.1/24 dev enp6s0f0",
        "route replace 10.9.0.0/16 via 10.0.0.254 dev enp6s0f0 table 254 proto static",
    )
    verify(parse(document), host)
