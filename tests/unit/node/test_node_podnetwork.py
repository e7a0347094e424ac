"""The default pod network as it is described: members, annotations, addresses, routes, ports."""

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.embedded.errors import LabError
from lab.embedded.model.spec import NodeSpec
from lab.embedded.node import podnetwork as net
from lab.embedded.node.addresses import Pool
from lab.embedded.node.ovnkube import Port, port_words
from lab.embedded.node.podnetwork import is_route
from lab.embedded.node.podnotes import address_of, default_entry

ME, OTHER = (net.member(NodeSpec(f"worker-{index}", index)) for index in (1, 2))


def test_a_member_follows_from_its_number() -> None:
    assert (ME.number, str(ME.subnet), str(ME.join), str(ME.transit)) == (
        2,
        "10.128.0.0/23",
        "100.64.0.2",
        "100.88.0.2",
    )
    assert (str(ME.gateway), str(ME.management), ME.encap) == ("10.128.0.1/23", "10.128.0.2/23", "192.168.53.11")
    assert str(OTHER.subnet) == "10.128.2.0/23"


def test_gateway_addresses_stay_clear_of_nodes_and_leases() -> None:
    nodes = [NodeSpec(f"worker-{index}", index) for index in range(1, 10)]
    hosts = [int(str(net.member(node).outside.ip).rpartition(".")[2]) for node in nodes]
    assert min(hosts) > 199
    assert len(set(hosts)) == len(nodes)


def test_annotations_read_back_as_the_member() -> None:
    notes = net.node_annotations(OTHER)
    assert all(isinstance(value, str) for value in notes.values())
    assert notes["k8s.ovn.org/node-subnets"] == '{"default":["10.128.2.0/23"]}'
    assert notes["k8s.ovn.org/node-transit-switch-port-ifaddr"] == '{"ipv4":"100.88.0.3/16"}'
    assert net.from_annotations("worker-2", notes) == OTHER
    plain = {**notes, net.SUBNETS: '{"default":"10.128.2.0/23"}'}
    assert net.from_annotations("worker-2", plain) == OTHER


@pytest.mark.parametrize("key", [net.SUBNETS, "k8s.ovn.org/node-id", "k8s.ovn.org/node-encap-ips"])
@pytest.mark.parametrize("text", [None, "", "[]", "{}", "null", '{"default":[]}', "x"])
def test_a_node_that_is_not_described_is_no_member(key: str, text: str | None) -> None:
    notes = dict(net.node_annotations(OTHER))
    notes.pop(key)
    if text is not None:
        notes[key] = text
    assert net.from_annotations("worker-2", notes) is None


def test_mac_rule() -> None:
    assert net.mac_of(IPv4Address("10.131.9.28")) == "0a:58:0a:83:09:1c"


def test_a_zones_own_objects_have_upstreams_names() -> None:
    said = " ".join(net.own_zone(ME))
    for words in (
        "lrp-set-gateway-chassis rtos-worker-1 00000000-0000-4000-8000-000000000001 1",
        "lr-nat-add GR_worker-1 snat 192.168.53.201 10.128.0.0/14",
        "lr-nat-add GR_worker-1 snat 192.168.53.201 100.64.0.2",
        "lr-policy-add ovn_cluster_router 102 ip4.src == 10.128.0.0/14 && ip4.dst == 100.64.0.0/16 allow",
        'lr-policy-add ovn_cluster_router 1004 inport == "rtos-worker-1" && ip4.dst == 192.168.53.11 /* worker-1 */ '
        "reroute 10.128.0.2",
    ):
        assert f"-- --may-exist {words}" in said or f"-- {words}" in said, words


def test_routes_of_a_healthy_zone() -> None:
    found = [route for route in net.routes(ME, [OTHER]) if route.router == net.ROUTER]
    assert {route.key for route in found} == {
        ("100.64.0.2", "100.64.0.2", ""),
        ("10.128.0.0/23", "100.64.0.2", "src-ip"),
        ("10.128.2.0/23", "100.88.0.3", ""),
        ("100.64.0.3", "100.88.0.3", ""),
    }
    assert {route.ids for route in net.routes_to(OTHER)} == {(("ic-node", "worker-2"),)}


def test_a_route_is_recognised_in_the_database() -> None:
    route = net.routes_to(OTHER)[0]
    row = {
        "ip_prefix": "10.128.2.0/23",
        "nexthop": "100.88.0.3",
        "policy": [],
        "output_port": [],
        "external_ids": {"ic-node": "worker-2", "k8s.ovn.org/network": "default"},
    }
    assert is_route(row, route)
    assert not is_route({**row, "external_ids": {}}, route)
    assert not is_route({**row, "policy": "dst-ip"}, route)
    assert not is_route({**row, "output_port": "rtos-worker-1"}, route)
    assert not is_route({**row, "nexthop": "100.88.0.9"}, route)


def test_a_route_is_written_with_its_ids() -> None:
    words = net.routes_to(OTHER)[0].words("r1")
    assert words[:4] == ["--", "--id=@r1", "create", "Logical_Router_Static_Route"]
    assert 'external_ids:"ic-node"="worker-2"' in words
    assert not any(word.startswith(("policy=", "output_port=")) for word in words)
    assert words[-5:] == ["add", "Logical_Router", net.ROUTER, "static_routes", "@r1"]


def test_a_remote_port_is_of_the_other_chassis() -> None:
    words = net.remote_port(OTHER)
    assert "0a:58:64:58:00:03 100.88.0.3/16" in words
    assert {"options:requested-tnl-key=3", f"options:requested-chassis={OTHER.chassis}"} <= set(words)


def test_a_pods_entry() -> None:
    entry = net.pod_entry(ME, IPv4Address("10.128.0.9"))
    assert entry["ip_addresses"] == ["10.128.0.9/23"]
    assert (entry["mac_address"], entry["gateway_ips"]) == ("0a:58:0a:80:00:09", ["10.128.0.1"])
    assert address_of(entry) == IPv4Address("10.128.0.9")


@pytest.mark.parametrize("text", ["", "{}", "nonsense", "[]", '{"default":{}}', '{"default":{"ip_addresses":["x"]}}'])
def test_an_annotation_without_usable_entry(text: str) -> None:
    assert default_entry({"metadata": {"annotations": {"k8s.ovn.org/pod-networks": text}}}) is None


def test_an_annotation_with_an_entry() -> None:
    entry = {"ip_address": "10.128.0.9/23", "mac_address": "0a:58:0a:80:00:09"}
    text = json.dumps({"default": entry, "default/vlan-2024": {"ip_addresses": None}})
    assert default_entry({"metadata": {"annotations": {"k8s.ovn.org/pod-networks": text}}}) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"mac_address": "--x"},
        {"mac_address": None},
        {"ip_addresses": "10.128.0.9/23"},
        {"ip_addresses": ["10.128.0.9/23", "10.128.0.10/23 dev eth0\nnetns exec x reboot"]},
        {"ip_addresses": ["10.128.0.9/23", "fe80::1%a b/64"]},
        {"ip_address": 7},
        {"gateway_ips": ["10.128.0.1", "x"]},
        {"gateway_ip": "0.0.0.0/0"},
        {"mtu": "1400\nlink del lo"},
        {"mtu": -1},
        {"routes": [{"dest": "10.128.0.0/14 dev lo", "nextHop": "10.128.0.1"}]},
        {"routes": [{"dest": "10.128.0.0/14"}]},
        {"routes": "x"},
        {"routes": [7]},
    ],
)
def test_an_entry_that_a_zone_controller_never_wrote_is_none(change: dict[str, object]) -> None:
    """Its parts become words of commands in the pod's namespace: whoever makes a pod can write the annotation."""
    entry = net.pod_entry(ME, IPv4Address("10.128.0.9"))
    text = json.dumps({"default": {**entry, **change}})
    assert default_entry({"metadata": {"annotations": {"k8s.ovn.org/pod-networks": text}}}) is None
    good = json.dumps({"default": entry})
    assert default_entry({"metadata": {"annotations": {"k8s.ovn.org/pod-networks": good}}}) == entry


def test_addresses_begin_after_the_management_port_and_are_reused_last() -> None:
    pool = Pool(IPv4Network("10.128.0.0/29"))
    assert [str(pool.take(owner)) for owner in ("a", "b", "a")] == ["10.128.0.3", "10.128.0.4", "10.128.0.3"]
    pool.release("a")
    assert [str(pool.take(owner)) for owner in ("c", "d")] == ["10.128.0.5", "10.128.0.6"]
    assert str(pool.take("e")) == "10.128.0.3"


def test_a_full_subnet_says_so() -> None:
    pool = Pool(IPv4Network("10.128.0.0/29"))
    for owner in "abcd":
        pool.take(owner)
    with pytest.raises(LabError, match="all 4 are taken"):
        pool.take("e")
    pool.release("b")
    pool.release("nobody")
    assert str(pool.take("e")) == "10.128.0.4"


def test_addresses_given_earlier_are_held() -> None:
    pool = Pool(ME.subnet)
    assert pool.hold("a", IPv4Address("10.128.0.3"))
    assert pool.hold("a", IPv4Address("10.128.0.3"))
    assert not pool.hold("b", IPv4Address("10.128.0.3"))
    assert str(pool.take("b")) == "10.128.0.4"
    assert pool.hold("foreign", IPv4Address("10.128.2.3"))
    assert str(pool.take("foreign")) == "10.128.0.5"


def test_a_port_that_is_off_has_no_addresses_and_keeps_its_port_security() -> None:
    on, off = (port_words("p", "demo", Port("s", "02:00:00:00:00:0a", on=on)) for on in (True, False))
    assert "lsp-set-addresses p 02:00:00:00:00:0a -- lsp-set-port-security p 02:00:00:00:00:0a" in " ".join(on)
    assert "lsp-set-addresses p -- lsp-set-port-security p 02:00:00:00:00:0a -- lsp-set-enabled p disabled" in " ".join(
        off
    )
