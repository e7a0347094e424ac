"""A node without policies, as iproute2 and Open vSwitch describe it, and a stand-in that obeys a plan."""

from __future__ import annotations

from dataclasses import replace

from lab.embedded.node.nmstate.desired import with_default_vlans
from lab.embedded.node.nmstate.merge import merge
from lab.embedded.node.nmstate.model import Bridge, Host, Link, Port, Route
from lab.embedded.node.nmstate.parsing import parse

NICS = ("ens3", "enp1s0", "enp6s0f0", "enp6s0f1", "enp7s0f0", "enp7s0f1")


def node() -> Host:
    """A fresh worker: br-ex with enp1s0, br-int with a pod and a patch port, four free trunk NICs."""
    links = {
        name: Link(name, "ethernet", up=True, mac=f"02:00:00:00:00:{i:02x}", min_mtu=68, max_mtu=9000)
        for i, name in enumerate(NICS)
    }
    links["ens3"] = replace(links["ens3"], addresses=frozenset({"192.168.52.11/24"}))
    links["lo"] = Link("lo", "loopback", up=True, mtu=65536, addresses=frozenset({"127.0.0.1/8"}))
    links["br-ex"] = Link("br-ex", "tap", up=True, addresses=frozenset({"192.168.53.11/24"}))
    links["br-int"] = Link("br-int", "tap")
    bridges = {
        "br-ex": Bridge("br-ex", {"enp1s0": Port("enp1s0")}, local=True),
        "br-int": Bridge("br-int", {"patch-a": Port("patch-a", "patch", peer="patch-b"), "veth1": Port("veth1")}),
    }
    return Host(
        links=links,
        bridges=bridges,
        mappings={"physnet": "br-ex"},
        routes=frozenset({Route("192.168.52.0/24", "", "ens3", protocol="kernel")}),
    )


def merged(host: Host, document: dict[str, object]) -> Host:
    """The Host after a policy's desired state, the way the enactment records it."""
    return merge(host, parse(with_default_vlans(document)))
