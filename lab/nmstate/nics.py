"""Which NICs a node has, whether a cable with a living other end is in each, and what uses it: from NodeNetworkState.

nmstate reports a link up when the kernel's operational state is, which takes a carrier; a NIC that is down has no
carrier or was never brought up, and the two cannot be told apart from here. Reading only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.access.kinds import Obj

DEFAULTS = ("0.0.0.0/0", "::/0")
NIC_TYPES = frozenset({"ethernet", "veth"})
"""What nmstate calls a NIC: one of a node that is a container is a veth. kubernetes-nmstate leaves out those that
NetworkManager does not manage (its pkg/state/filter.go), so that pods' are not among them."""


@dataclass(frozen=True)
class Nic:
    """One NIC; ``users`` says in words what it is used for, nothing for a free one."""

    node: str
    name: str
    mac: str
    up: bool
    users: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Up, cabled, and nobody's."""
        return self.up and not self.users


def discover(nns: Obj) -> list[Nic]:
    """The NICs of one NodeNetworkState (nmstate.io/v1beta1), by name."""
    state = (nns.get("status") or {}).get("currentState") or {}
    links = [i for i in state.get("interfaces") or [] if isinstance(i, Mapping)]
    node = str(nns["metadata"]["name"])
    return sorted(
        (
            Nic(
                node,
                str(i["name"]),
                str(i.get("mac-address", "")).lower(),
                i.get("state") == "up",
                _users(i, links, state),
            )
            for i in links
            if i.get("type") in NIC_TYPES
        ),
        key=lambda nic: nic.name,
    )


def _users(nic: Mapping[str, Any], links: Sequence[Mapping[str, Any]], state: Mapping[str, Any]) -> tuple[str, ...]:
    name = str(nic["name"])
    holders = {str(i["name"]): str(i.get("type")) for i in links if name in _ports(i)}
    if (controller := str(nic.get("controller") or "")) and controller not in holders:
        holders[controller] = "controller"
    found = [f"port of {kind} {holder}" for holder, kind in sorted(holders.items())]
    found += [f"base of {i['name']}" for i in links if ((i.get("vlan") or {}).get("base-iface")) == name]
    found += [f"address {a['ip']}" for a in _addresses(nic)]
    routes = (state.get("routes") or {}).get("running") or []
    if any(r.get("next-hop-interface") == name and r.get("destination") in DEFAULTS for r in routes):
        found.append("default route")
    return tuple(found)


def _ports(link: Mapping[str, Any]) -> set[str]:
    bond = (link.get("link-aggregation") or {}).get("port") or []
    bridge = (link.get("bridge") or {}).get("port") or []
    aggregates = [p.get("link-aggregation") or {} for p in bridge if isinstance(p, Mapping)]
    inner = [m.get("name") for a in aggregates for m in a.get("port") or []]
    return {str(p) for p in [*bond, *(p.get("name") for p in bridge if isinstance(p, Mapping)), *inner]}


def _addresses(nic: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All but link-local ones, which every link has."""
    every = [a for family in ("ipv4", "ipv6") for a in (nic.get(family) or {}).get("address") or []]
    return [a for a in every if not str(a.get("ip", "")).lower().startswith("fe80:")]
