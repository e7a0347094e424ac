"""Desired states: what is accepted, and the very words of each refusal."""

from __future__ import annotations

import contextlib
from typing import Any

import nmstate_seed as seed
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nmstate_states import merged, node

from lab.embedded.node.nmstate.desired import DEFAULT_TRUNK, features, with_default_vlans
from lab.embedded.node.nmstate.errors import ApplyError
from lab.embedded.node.nmstate.parsing import parse, resolve
from lab.embedded.node.nmstate.restoration import restoration
from lab.embedded.node.nmstate.transition import Steps, transition
from lab.embedded.node.nmstate.verify import verify


def refusal(text: str) -> str:
    with pytest.raises(ApplyError) as caught:
        parse(with_default_vlans(yaml.safe_load(text)))
    return str(caught.value)


@pytest.mark.parametrize("text", [seed.BONDING_POLICY, seed.OVS_BR1, seed.BOND2, seed.BR1_ENS3, seed.LOCALNET_COE])
def test_documented_policies_are_accepted(text: str) -> None:
    assert not parse(with_default_vlans(yaml.safe_load(text))).empty


def test_empty_state_is_empty() -> None:
    assert parse({}).empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{interfaces: [{name: b, type: bond, link-aggregation: {mode: 4, slaves: [a]}}]}",
         "Provide file is not valid NetworkState or NetworkPolicy: interfaces[0].link-aggregation: unknown field "
         "`slaves`, expected one of `mode`, `options`, `port`, `ports-config`"),
        ("{ifaces: []}", "unknown field `ifaces`, expected one of `description`"),
        ("{ovn: {mappings: []}}", "ovn: unknown field `mappings`, expected `bridge-mappings`"),
        ("{interfaces: [{name: a, type: token-ring}]}", "unknown variant `token-ring`, expected one of `bond`"),
        ("{interfaces: [{type: bond}]}", "interfaces[0]: missing field `name`"),
        ("{interfaces: {name: a}}", "interfaces: invalid type: map, expected a sequence"),
        ("{interfaces: [{name: a, type: bond, link-aggregation: {mode: lacp}}]}", "unknown variant `lacp`"),
        ("{interfaces: [{name: o, type: ovs-bridge, bridge: {options: {stp: maybe}}}]}", "Need to be boolean"),
        ("{ovn: {bridge-mappings: [{localnet: a, bridge: x}, {localnet: a, bridge: y}]}}",
         "NmstateError: InvalidArgument: Found duplicate `localnet` key a"),
        ("{ovn: {bridge-mappings: [{localnet: a}]}}",
         "NmstateError: InvalidArgument: mapping for `localnet` key a missing the `bridge` attribute"),
        ("{ovn: {bridge-mappings: [{localnet: 'a,b', bridge: x}]}}", "Cannot convert a,b to OvnBridgeMapping"),
        ("{interfaces: [{name: e, type: ethernet, ipv4: {enabled: 1, address: [{ip: fd00::1, prefix-length: 64}]}}]}",
         "Got IPv6 address fd00::1/64 in ipv4 config section"),
        ("{interfaces: [{name: e, type: ethernet, ipv4: {enabled: 1, address: [{ip: 1.2.3.4, prefix-length: 33}]}}]}",
         "Invalid IPv4 network prefix length '33', should be in the range of 0 to 32"),
        ("{interfaces: [{name: o, type: ovs-bridge, mac-address: '02:00:00:00:00:01'}]}",
         "OVS Bridge o can not hold MAC address"),
        ("{interfaces: [{name: v.5, type: vlan, vlan: {id: 5, base-iface: ens3}}]}",
         "NmstateError: NotSupportedError: Interface v.5: type vlan cannot be made on this node"),
        ("{interfaces: [{name: o, type: ovs-bridge, bridge: {port: [{name: p, vlan: {mode: access, tag: 5000}}]}}]}",
         "VLAN tag 5000 of port p is not in the range of [0,4094]"),
        ("{interfaces: [{name: a, type: bond, link-aggregation: {mode: 1, port: [e]}},"
         " {name: b, type: bond, link-aggregation: {mode: 1, port: [e]}}]}",
         "Port e is overbooked by two controller: b, a"),
        ("{interfaces: [{name: l, type: linux-bridge, bridge: {options: {stp: {enabled: true, hello-time: 11}}}}]}",
         "Desired STP hello time 11 is not in the range of [1,10]"),
        ("{interfaces: [{name: a, type: ethernet, controller: x}, {name: x, type: bond, link-aggregation: {mode: 1,"
         " port: []}}]}",
         "Interface a has controller x but not listed in port list of controller interface"),
        ("{interfaces: [{name: a}, {name: a}]}", "Duplicate interface a"),
        ("{routes: {config: [{destination: 0.0.0.0/0}]}}", "Route with empty next hop interface"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    assert message in refusal(text)


def test_absent_interface_ignores_everything_else() -> None:
    (iface,) = parse(yaml.safe_load("{interfaces: [{name: b, type: bond, state: absent, nonsense: 1}]}")).interfaces
    assert (iface.name, iface.type, iface.state) == ("b", "bond", "absent")


def test_default_vlan_filtering_only_for_ports_without_it() -> None:
    document: dict[str, Any] = yaml.safe_load(seed.BR1_ENS3)
    assert with_default_vlans(document)["interfaces"][0]["bridge"]["port"] == [{"name": "ens3", "vlan": DEFAULT_TRUNK}]
    assert "vlan" not in document["interfaces"][0]["bridge"]["port"][0]


def test_modes_by_number_and_aliases() -> None:
    (iface,) = parse(
        yaml.safe_load("{interfaces: [{name: b, type: bond, link-aggregation: {mode: 1, ports: [a]}}]}")
    ).interfaces
    assert iface.data["link-aggregation"] == {"mode": "active-backup", "port": ["a"]}


def test_stp_is_taken_in_both_forms() -> None:
    for text in ("true", "{enabled: true}", '"yes"'):
        state = yaml.safe_load(f"{{interfaces: [{{name: o, type: ovs-bridge, bridge: {{options: {{stp: {text}}}}}}}]}}")
        assert parse(state).interfaces[0].data["bridge"]["options"]["stp"] == {"enabled": True}


def test_features_are_those_of_nmstate_statistics() -> None:
    assert features(parse(yaml.safe_load(seed.OVS_BR1))) == ["ovn-mapping"]
    assert features(parse(yaml.safe_load(seed.BOND2))) == []


NICS = st.sampled_from(["ens3", "enp6s0f0", "enp6s0f1"])
MADE = st.sampled_from(["bond1", "br1", "ovs-br1", "ovs0"])
ODD = st.sampled_from(["br-ex", "-x", "a b", "x" * 20, "lo", "eth9", "enp1s0"])
NAMES = st.one_of(NICS, MADE, NICS, MADE, ODD)
PORT_NAMES = st.lists(NAMES, max_size=3, unique=True)
ADDRESSES = st.sampled_from(["10.0.0.1/24", "fd00::1/64", "10.0.0.2/99", "fe80::1%x y/64", "nope/1"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-1, 70000), st.sampled_from(["", "up", "x\ny"]))


@st.composite
def interfaces(draw: st.DrawFn) -> dict[str, Any]:
    """One interface of any kind; mostly well formed, sometimes hostile."""
    kind = draw(st.sampled_from(["bond", "linux-bridge", "ovs-bridge", "ovs-interface", "ethernet", None]))
    item: dict[str, Any] = {"name": draw(NAMES), "state": draw(st.sampled_from(["up", "up", "up", "down", "absent"]))}
    if kind:
        item["type"] = kind
    ports = draw(PORT_NAMES)
    if kind == "bond":
        item["link-aggregation"] = {"mode": draw(st.sampled_from([1, "802.3ad", "balance-rr"])), "port": ports}
    elif kind in ("linux-bridge", "ovs-bridge"):
        item["bridge"] = {"port": [{"name": name} for name in ports], "options": {"stp": draw(st.sampled_from(
            [{"enabled": True}, {"enabled": False}, *([True] if kind == "ovs-bridge" else [])]))}}  # fmt: skip
    if draw(st.integers(0, 3)) == 0:
        address, _, prefix = draw(ADDRESSES).rpartition("/")
        family = "ipv6" if ":" in address else "ipv4"
        item[family] = {"enabled": True, "address": [{"ip": address, "prefix-length": int(prefix)}]}
    if draw(st.integers(0, 5)) == 0:
        item[draw(st.sampled_from(["mtu", "mac-address", "controller", "bridge", "nonsense"]))] = draw(SCALARS)
    return item


ROUTES = st.dictionaries(
    st.sampled_from(["destination", "next-hop-interface", "next-hop-address", "metric", "state"]),
    st.one_of(SCALARS, NAMES, st.sampled_from(["10.0.0.0/8", "::/0", "10.0.0.9", "absent"])),
)
STATES = st.fixed_dictionaries(
    {"interfaces": st.lists(interfaces(), max_size=3)},
    optional={"routes": st.fixed_dictionaries({"config": st.lists(ROUTES, max_size=2)})},
)


@settings(max_examples=400, deadline=None)
@given(STATES, STATES)
def test_any_state_is_planned_or_refused_and_never_smuggles_a_command(
    first: dict[str, Any], document: dict[str, Any]
) -> None:
    start = node()
    with contextlib.suppress(ApplyError):
        start = merged(start, first)
    try:
        target = merged(start, document)
        verify(resolve(parse(with_default_vlans(document)), start), target)
    except ApplyError:
        return
    steps = transition(start, target)
    for line in (*steps.before, *steps.after):
        assert "\n" not in line
        assert "-x" not in line.split()
    back = restoration(start, target, target)
    assert (back.links, back.bridges, back.mappings, back.routes) == (
        start.links, start.bridges, start.mappings, start.routes)  # fmt: skip
    try:
        again = merged(target, document)
    except ApplyError:
        # What the first apply removed may be unknown to the second.
        assert any(item["state"] != "up" for item in document["interfaces"])
        return
    assert transition(target, again) == Steps()
