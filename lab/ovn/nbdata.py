"""A northbound database's tables, from whatever printed or stored them: the cluster router's routes and whose they are.

With ``Logical_Router`` beside the routes it is known which rows are the cluster router's; without it the gateway
routers' three kinds of route are told by their look. Ports and ``NB_Global`` name the zone, its node, subnets and
transit address, and pods' ports say which workload a zone runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_interface, ip_network
from typing import Any

from lab.ovn.routes import DISCARD, MAIN, Route, is_address, plain

ROUTER = "ovn_cluster_router"
ROUTES, ROUTERS, GLOBAL, PORTS, POLICIES, SWITCH_PORTS = (
    "Logical_Router_Static_Route",
    "Logical_Router",
    "NB_Global",
    "Logical_Router_Port",
    "Logical_Router_Policy",
    "Logical_Switch_Port",
)
COLUMNS = {
    ROUTES: ("_uuid", "ip_prefix", "nexthop", "output_port", "policy", "route_table", "bfd", "external_ids"),
    ROUTERS: ("name", "static_routes", "policies"),
    GLOBAL: ("name", "nb_cfg"),
    PORTS: ("name", "networks"),
    POLICIES: ("_uuid", "priority", "match", "nexthops", "action"),
    SWITCH_PORTS: ("name", "addresses", "external_ids"),
}
"""What the audit reads, by table; `LINE` is added by readers that know it."""
LINE = "line"
OWNERS = ("k8s.ovn.org/vm", "ic-node")
VM_POLICY = "10"
"""Priority of the policies of migrated VMs in central mode (go-controller/pkg/types, EgressLiveMigrationReroute...)."""

Rows = Iterable[Mapping[str, Any]]
Tables = Mapping[str, Rows]


@dataclass
class Marks:
    """Names that a database gives away: of nodes by transit address and by subnet, and of the zone's own node."""

    nodes: dict[str, str] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    own: str = ""
    ports: int = 0
    """Node switches on the router: more than one make a central database."""


@dataclass
class NbRoutes:
    """Rows as (route, without owner's marks, uuid, line); pods as (namespace and name, addresses)."""

    rows: list[tuple[Route, bool, str, int]] = field(default_factory=list)
    marks: Marks = field(default_factory=Marks)
    pods: list[tuple[str, list[str]]] = field(default_factory=list)
    sources: dict[str, list[str]] = field(default_factory=dict)
    """VM address -> next hops of the policy for what it sends (central mode)."""
    missing: bool = False
    """There are routers, and none of them is the cluster router."""


def table_of(headings: Iterable[str]) -> str:
    """Which table ``ovn-nbctl list`` printed, by its columns; empty for one that says nothing here."""
    have = set(headings)
    if {"ip_prefix", "nexthop"} <= have:
        return ROUTES
    if {"name", "static_routes"} <= have:
        return ROUTERS
    if {"name", "networks"} <= have:
        return PORTS
    if {"priority", "match"} <= have and have & {"nexthop", "nexthops"}:
        return POLICIES
    if {"name", "addresses"} <= have:
        return SWITCH_PORTS
    if have == {"name"} or {"name", "nb_cfg"} <= have:
        return GLOBAL
    return ""


def read(tables: Tables) -> NbRoutes:
    """What the tables say. A row that is no route is left out."""
    found = NbRoutes()
    _names(tables, found.marks)
    routers = list(tables.get(ROUTERS, ()))
    router = next((r for r in routers if r.get("name") == ROUTER), None)
    found.missing = bool(routers) and router is None
    read = [row for data in tables.get(ROUTES, ()) for row in _row(data, found.marks)]
    if router is not None:
        mine = set(many(router.get("static_routes")))
        found.rows = [row for row in read if row[2] in mine]
    elif not found.missing:
        found.rows = list(_cluster_routers(read))
    found.pods = list(_pods(tables.get(SWITCH_PORTS, ())))
    chosen = set(many(router.get("policies"))) if router is not None else set()
    for policy in tables.get(POLICIES, ()):
        match = str(policy.get("match", ""))
        if str(policy.get("priority")) == VM_POLICY and ".src == " in match and str(policy.get("_uuid")) in chosen:
            hops = many(policy.get("nexthops")) or many(policy.get("nexthop"))
            found.sources.setdefault(match.rpartition(" ")[2], []).extend(hops)
    return found


def _names(tables: Tables, marks: Marks) -> None:
    """LRPs are called rtos-<node> and rtots-<node> (go-controller/pkg/types/const.go)."""
    own = [str(row.get("name") or "") for row in tables.get(GLOBAL, ())]
    marks.own = own[0] if own else ""
    switches = []
    for port in tables.get(PORTS, ()):
        name = str(port.get("name", ""))
        networks = [n for n in many(port.get("networks")) if _is_interface(n)]
        if name.startswith("rtos-"):
            switches.append(name.removeprefix("rtos-"))
            for network in networks:
                marks.subnets[plain(network)] = switches[-1]
        elif name.startswith("rtots-"):
            for network in networks:
                marks.nodes[str(ip_interface(network).ip)] = name.removeprefix("rtots-")
    marks.ports = len(switches)
    if len(switches) == 1:
        marks.own = switches[0]


def _is_interface(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


def many(value: Any) -> list[str]:
    """A column that holds a set, as text: one member is written without the set around it."""
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if isinstance(item, str | int) and item != ""]


_known = lru_cache(maxsize=1 << 14)(plain)
"""Every zone has routes to the same addresses."""


def _row(row: Mapping[str, Any], marks: Marks) -> Iterator[tuple[Route, bool, str, int]]:
    try:
        owners = row.get("external_ids") or {}
        port = row.get("output_port") or ""
        port = port if isinstance(port, str) else ""
        if port.startswith("rtoe-GR_"):
            marks.own = marks.own or port.removeprefix("rtoe-GR_")
            return
        policy = row.get("policy")
        policy = policy if isinstance(policy, str) else ""
        prefix, nexthop = _known(str(row["ip_prefix"])), str(row["nexthop"])
        nexthop = _known(nexthop) if nexthop not in ("", DISCARD) else nexthop
        if "/" in nexthop:
            return
        if "ic-node" in owners:
            marks.nodes.setdefault(nexthop, str(owners["ic-node"]))
        loose = "external_ids" in row and "/" not in prefix and not any(o in owners for o in OWNERS)
        flags = ("bfd",) if isinstance(row.get("bfd"), str) and row["bfd"] else ()
        table = str(row.get("route_table") or "") or MAIN
        route = Route(prefix, nexthop, policy or "dst-ip", port, flags, table)
    except (ValueError, TypeError, AttributeError, KeyError):
        return
    yield route, loose or ("k8s.ovn.org/vm" in owners and not policy), str(row.get("_uuid", "")), row.get(LINE, 0)


def _pods(ports: Rows) -> Iterator[tuple[str, list[str]]]:
    """``<namespace>_<pod>`` with ``<mac> <address>...`` (base_network_controller_pods.go)."""
    for port in ports:
        owners = port.get("external_ids")
        if not isinstance(owners, dict) or owners.get("pod") != "true" or "_" not in str(port.get("name")):
            continue
        words = [word for text in many(port.get("addresses")) for word in text.split()[1:]]
        yield str(port["name"]).replace("_", "/", 1), [plain(word) for word in words if is_address(word)]


def _cluster_routers(rows: list[tuple[Route, bool, str, int]]) -> Iterator[tuple[Route, bool, str, int]]:
    """Without GR_<node>'s: default routes, its masquerade subnet, and the cluster's network back to the router."""
    networks = {r.prefix: ip_network(r.prefix) for r, _, _, _ in rows if r.policy == "dst-ip" and "/" in r.prefix}
    lengths = {family: [n.prefixlen for n in networks.values() if n.version == family] for family in (4, 6)}
    for row in rows:
        prefix = row[0].prefix
        network = networks.get(prefix) if row[0].policy == "dst-ip" else None
        if network is not None:
            wider = network.prefixlen < max(lengths[network.version], default=0)
            if network.prefixlen == 0 or network.is_link_local or (wider and _covers(prefix, networks)):
                continue
        yield row


def _covers(prefix: str, networks: dict[str, Any]) -> bool:
    mine = networks[prefix]
    return any(n.version == mine.version and n != mine and n.subnet_of(mine) for n in networks.values())
