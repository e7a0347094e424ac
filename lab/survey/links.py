"""What a node's links are to a run: the NIC under its own address, what belongs to its own network, what is free.

Pure: the currentState of a NodeNetworkState in, names out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.nmstate.nics import discover

State = Mapping[str, Any]
UPLINK = "br-ex"
"""The bridge that OVN-Kubernetes has its gateway on."""
INTEGRATION = "br-int"
OVN_LINKS = ("ovn", "genev_sys", "patch-", "ovs-system")


@dataclass(frozen=True)
class NodeLinks:
    """`primary` is the NIC below the node's own address ("" unknown); `vital` what else its network hangs on; `free`
    what is up and used for nothing; `down` what has no cable."""

    primary: str
    vital: tuple[str, ...]
    free: tuple[str, ...]
    down: tuple[str, ...]


@dataclass(frozen=True)
class Subnet:
    """A network that a node has an address in: `gateway` is "" when no default route names one."""

    link: str
    subnet: str
    address: str
    gateway: str
    dhcp: bool


def sort(node: str, state: State, address: str) -> NodeLinks:
    """*address* is the node's InternalIP."""
    nics = discover({"metadata": {"name": node}, "status": {"currentState": state}})
    at = next((str(i["name"]) for i in _interfaces(state) if address in _addresses(i)), "")
    below = _below(state, at) if at else []
    primary = next((nic.name for nic in nics if nic.name in below), "")
    bridges = [str(i["name"]) for i in _interfaces(state) if i.get("name") in (UPLINK, INTEGRATION)]
    used = [nic.name for nic in nics if nic.users and nic.name != primary]
    above = [name for name in [at, *below] if name and name != primary and not name.startswith(OVN_LINKS)]
    # What a policy of somebody else made (a storage bond, say) is the node's own as much as its address is.
    made = [str(i["name"]) for i in _interfaces(state) if i.get("type") in ("bond", "vlan", "linux-bridge")]
    vital = tuple(dict.fromkeys([*above, *used, *bridges, *made]))
    free = tuple(nic.name for nic in nics if nic.free and nic.name not in below)
    return NodeLinks(primary, vital, free, tuple(nic.name for nic in nics if not nic.up and not nic.users))


def subnets(state: State) -> dict[str, Subnet]:
    """By link: the IPv4 networks that a node has an address in, OVN's own links and loopback aside."""
    found: dict[str, Subnet] = {}
    for link in _interfaces(state):
        name = str(link["name"])
        if link.get("type") == "loopback" or name.startswith(OVN_LINKS):
            continue
        for entry in (link.get("ipv4") or {}).get("address") or []:
            network = ipaddress.ip_network(f"{entry['ip']}/{entry['prefix-length']}", strict=False)
            dhcp = bool((link.get("ipv4") or {}).get("dhcp"))
            found.setdefault(name, Subnet(name, str(network), str(entry["ip"]), _gateway(state, network), dhcp))
    return found


def mappings(state: State) -> dict[str, str]:
    """OVN's bridge mappings: localnet -> bridge."""
    listed = (state.get("ovn") or {}).get("bridge-mappings") or []
    return {str(m.get("localnet")): str(m.get("bridge")) for m in listed}


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """NICs of one card, in twos: enp6s0f0 with enp6s0f1, eth2 with eth3; a proposal and no more."""
    cards: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(.+f|.*?\D)\d+(?:np\d+)?", name)
        cards.setdefault(match[1] if match else name, []).append(name)
    return [(card[n], card[n + 1]) for card in cards.values() for n in range(0, len(card) - 1, 2)]


def _interfaces(state: State) -> list[Mapping[str, Any]]:
    return [i for i in state.get("interfaces") or [] if isinstance(i, Mapping) and i.get("name")]


def _addresses(link: Mapping[str, Any]) -> Sequence[str]:
    return [str(a.get("ip")) for family in ("ipv4", "ipv6") for a in (link.get(family) or {}).get("address") or []]


def _below(state: State, name: str) -> list[str]:
    """A link and all that it stands on."""
    found = [name]
    for at in found:
        for link in _interfaces(state):
            if link["name"] == at:
                found += [below for below in _ports(link) if below not in found]
    return found


def _ports(link: Mapping[str, Any]) -> list[str]:
    bridge = [p for p in (link.get("bridge") or {}).get("port") or [] if isinstance(p, Mapping)]
    inner = [m.get("name") for p in bridge for m in (p.get("link-aggregation") or {}).get("port") or []]
    base = (link.get("vlan") or {}).get("base-iface")
    every = [*((link.get("link-aggregation") or {}).get("port") or []), *(p.get("name") for p in bridge), *inner, base]
    return [str(name) for name in every if name]


def _gateway(state: State, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    for route in (state.get("routes") or {}).get("running") or []:
        hop = str(route.get("next-hop-address") or "")
        if route.get("destination") in ("0.0.0.0/0", "::/0") and hop:
            try:
                if ipaddress.ip_address(hop) in network:
                    return hop
            except ValueError:
                continue
    return ""
