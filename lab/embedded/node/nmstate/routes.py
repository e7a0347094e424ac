"""Routes of a merge: which stay, which go, which come.

It must not change links; it only asks whether they can carry a route.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from lab.embedded.node.nmstate.desired import Desired
from lab.embedded.node.nmstate.draft import Draft
from lab.embedded.node.nmstate.errors import invalid
from lab.embedded.node.nmstate.model import Host, Route


def routes_of(current: Host, desired: Desired, draft: Draft) -> frozenset[Route]:
    routes = {r for r in current.routes if _survives(r, current, draft)}
    for wanted in desired.routes:
        if wanted.get("state") == "absent":
            routes = {r for r in routes if r.protocol == "kernel" or not matches(r, wanted)}
    for wanted in desired.routes:
        if wanted.get("state") == "absent":
            continue
        dev = wanted["next-hop-interface"]
        link = draft.links.get(dev)
        text = " ".join(f"{key}: {value}" for key, value in wanted.items())
        if link is None:
            raise invalid(f"The next hop interface of desired Route '{text}' has been marked as absent")
        family = 6 if ":" in wanted["destination"] else 4
        if family == 4 and not any("." in a for a in link.addresses | link.dynamic) and dev not in draft.dhcp:
            raise invalid(f"The next hop interface of desired Route '{text}' has been marked as IPv4 disabled")
        try:
            destination = str(ip_network(wanted["destination"], strict=False))
        except ValueError:
            raise invalid(f"Invalid IP network '{wanted['destination']}'") from None
        metric = wanted.get("metric", 0)
        route = Route(
            destination, wanted.get("next-hop-address", ""), dev, max(metric, 0), wanted.get("table-id", 254) or 254
        )
        routes = {r for r in routes if r.key != route.key} | {route}
    return frozenset(routes)


def _survives(route: Route, current: Host, draft: Draft) -> bool:
    """Whether the device can still carry a present route: a route goes with the address that reached its gateway."""
    link, was = draft.links.get(route.dev), current.links.get(route.dev)
    if link is None or was is None or route.protocol == "kernel":
        return link is not None
    if (link.addresses, link.dynamic, link.up) == (was.addresses, was.dynamic, was.up):
        return True
    networks = [ip_interface(a).network for a in link.addresses | link.dynamic]
    gateway = ip_address(route.via) if route.via else None
    if not link.up:
        return False
    if gateway is None or gateway.is_link_local:
        return any(network.version == route.family for network in networks)
    return any(gateway in network for network in networks)


def matches(route: Route, wanted: Mapping[str, Any]) -> bool:
    """Whether a route is meant by an ``absent`` entry: the properties that are given must be equal."""
    pairs = {
        "destination": route.destination,
        "next-hop-interface": route.dev,
        "next-hop-address": route.via,
        "metric": route.metric,
        "table-id": route.table,
    }
    return all(wanted[key] == value for key, value in pairs.items() if wanted.get(key) not in (None, ""))
