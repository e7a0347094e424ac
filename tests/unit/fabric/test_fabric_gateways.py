"""The plan of the outside hosts: who serves which addresses to whom."""

from __future__ import annotations

import re

from lab.embedded.fabric.gateways import dnsmasq, hosts
from lab.embedded.model.spec import LabSpec


def test_every_network_has_a_host_that_serves_it() -> None:
    found = {name: (host.vlan, str(host.address)) for name, host in hosts(LabSpec()).items()}
    assert found == {
        "outside": (53, "192.168.53.1/24"),
        "machine": (52, "192.168.52.254/24"),
        "gateway-2024": (2024, "192.168.24.1/24"),
        "gateway-1993": (1993, "192.168.93.1/24"),
    }


def test_nodes_have_their_documented_address_reserved_and_get_no_router() -> None:
    spec = LabSpec(workers=2)
    words = dnsmasq(hosts(spec)["machine"])
    assert [word for word in words if word.startswith("--dhcp-host")] == [
        "--dhcp-host=02:00:00:a8:34:0b,set:reserved,192.168.52.11",
        "--dhcp-host=02:00:00:a8:34:0c,set:reserved,192.168.52.12",
    ]
    assert "--dhcp-option=tag:reserved,option:router" in words
    assert "--dhcp-option=option:router,192.168.52.254" in words
    assert "--dhcp-range=192.168.52.100,192.168.52.199,255.255.255.0,1h" in words


def test_other_networks_reserve_nothing() -> None:
    words = dnsmasq(hosts(LabSpec())["gateway-2024"])
    assert not [word for word in words if "reserved" in word]
    assert "--dhcp-option=option:router,192.168.24.1" in words


def test_hardware_addresses_are_fixed_unicast_and_all_different() -> None:
    spec = LabSpec(workers=9)
    found = [node.mac(nic) for node in spec.nodes for nic in node.nics]
    assert len(set(found)) == 9 * len(spec.node("worker-1").nics)
    assert all(re.fullmatch(r"02:00:00(:[0-9a-f]{2}){3}", mac) for mac in found)
    assert spec.node("worker-3").mac("ens3") == "02:00:00:a8:34:0d"
