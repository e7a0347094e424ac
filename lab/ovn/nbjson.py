"""``ovn-nbctl --format=json list Logical_Router_Static_Route``: the routes of the cluster router among all routers'.

The table does not say whose a route is. A second document in the same text, ``list Logical_Router``, would; without
it the gateway router's three kinds of route are told by their look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from lab.ovn.routes import MAIN, Route, is_address, plain
from lab.ovn.switch import _row

OWNERS = ("k8s.ovn.org/vm", "ic-node")


@dataclass
class Marks:
    """Names that owner marks give away: of nodes by their transit address, and of the zone's own node."""

    nodes: dict[str, str] = field(default_factory=dict)
    own: str = ""


@dataclass
class JsonRoutes:
    """Rows as (route, without owner's marks, uuid)."""

    rows: list[tuple[Route, bool, str]]
    marks: Marks


def rows_of(document: Any) -> JsonRoutes | None:
    """The routes in a document; None when it is another document.

    Raises nothing: a row that is no route is left out.
    """
    if not isinstance(document, dict) or not isinstance(document.get("headings"), list):
        return None
    headings = document["headings"]
    if "ip_prefix" not in headings or "nexthop" not in headings:
        return None
    marks = Marks()
    read: list[tuple[Route, bool, str]] = []
    for data in document.get("data") or ():
        try:
            read += _route(_row(headings, data), marks)
        except (ValueError, TypeError, AttributeError, KeyError):
            continue
    return JsonRoutes(list(_cluster_routers(read)), marks)


def _route(row: dict[str, Any], marks: Marks) -> Iterator[tuple[Route, bool, str]]:
    owners = row.get("external_ids") or {}
    port = row.get("output_port") or ""
    port = port if isinstance(port, str) else ""
    if port.startswith("rtoe-GR_"):
        marks.own = port.removeprefix("rtoe-GR_")
        return
    policy = row.get("policy")
    policy = policy if isinstance(policy, str) else ""
    nexthop = str(row["nexthop"])
    nexthop = plain(nexthop) if is_address(nexthop) else nexthop
    if "ic-node" in owners:
        marks.nodes[nexthop] = str(owners["ic-node"])
    host = "/" not in plain(str(row["ip_prefix"]))
    loose = "external_ids" in row and host and not any(o in owners for o in OWNERS)
    flags = ("bfd",) if isinstance(row.get("bfd"), str) and row["bfd"] else ()
    table = str(row.get("route_table") or "") or MAIN
    yield (
        Route(plain(str(row["ip_prefix"])), nexthop, policy or "dst-ip", port, flags, table),
        loose or ("k8s.ovn.org/vm" in owners and not policy),
        str(row.get("_uuid", "")),
    )


def _cluster_routers(rows: list[tuple[Route, bool, str]]) -> Iterator[tuple[Route, bool, str]]:
    """Without GR_<node>'s: default routes, its masquerade subnet, and the cluster's network back to the router."""
    networks = {r.prefix: ip_network(r.prefix) for r, _, _ in rows if r.policy == "dst-ip" and "/" in r.prefix}
    lengths = {family: [n.prefixlen for n in networks.values() if n.version == family] for family in (4, 6)}
    for route, loose, uuid in rows:
        network = networks.get(route.prefix) if route.policy == "dst-ip" else None
        if network is not None:
            wider = network.prefixlen < max(lengths[network.version], default=0)
            if network.prefixlen == 0 or network.is_link_local or (wider and _covers(route.prefix, networks)):
                continue
        yield route, loose, uuid


def _covers(prefix: str, networks: dict[str, Any]) -> bool:
    mine = networks[prefix]
    return any(n.version == mine.version and n != mine and n.subnet_of(mine) for n in networks.values())
