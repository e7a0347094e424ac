"""Northbound databases of a generated cluster: as OVSDB's own file, and as ``ovn-nbctl --format=json`` prints it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lab.ovn.routes import Route
from tests.unit.ovn.routes_world import World

Table = dict[str, dict[str, Any]]
SCHEMA = {
    "name": "OVN_Northbound",
    "version": "7.0.0",
    "tables": {
        "NB_Global": {"columns": {"name": {"type": "string"}, "nb_cfg": {"type": "integer"}}},
        "Logical_Router": {
            "columns": {
                "name": {"type": "string"},
                "static_routes": {"type": {"key": {"type": "uuid"}, "min": 0, "max": "unlimited"}},
                "policies": {"type": {"key": {"type": "uuid"}, "min": 0, "max": "unlimited"}},
            }
        },
        "Logical_Router_Static_Route": {
            "columns": {
                "ip_prefix": {"type": "string"},
                "nexthop": {"type": "string"},
                "output_port": {"type": {"key": "string", "min": 0, "max": 1}},
                "policy": {"type": {"key": {"type": "string"}, "min": 0, "max": 1}},
                "route_table": {"type": "string"},
                "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            }
        },
        "Logical_Router_Port": {
            "columns": {
                "name": {"type": "string"},
                "networks": {"type": {"key": "string", "min": 1, "max": "unlimited"}},
            }
        },
        "Logical_Router_Policy": {
            "columns": {
                "priority": {"type": "integer"},
                "match": {"type": "string"},
                "nexthops": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
            }
        },
        "Logical_Switch_Port": {
            "columns": {
                "name": {"type": "string"},
                "addresses": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
                "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            }
        },
    },
}


def a_set(items: list[Any]) -> Any:
    """As OVSDB writes it: one member stands alone."""
    return items[0] if len(items) == 1 else ["set", items]


def a_map(pairs: dict[str, str]) -> Any:
    return ["map", [[key, value] for key, value in pairs.items()]]


def route_row(world: World, route: Route) -> dict[str, Any]:
    node = next((n for n in range(world.size) if world.transit(n, route.family) == route.nexthop), None)
    infra = "/" in route.prefix or route.prefix not in world.vms
    owners = {"ic-node": world.name(node)} if infra and node is not None else {}
    owners |= {} if infra else {"k8s.ovn.org/vm": "vm", "k8s.ovn.org/namespace": "ns"}
    row: dict[str, Any] = {"ip_prefix": route.prefix, "nexthop": route.nexthop, "external_ids": a_map(owners)}
    if route.port:
        row["output_port"] = route.port
    if not infra or route.policy == "src-ip":
        row["policy"] = route.policy
    return row


def tables(world: World, zone: int, *, pods: bool = True) -> dict[str, Table]:
    """A zone's database: the cluster router, the gateway router with routes of its own, ports, and the VMs it runs."""
    routes = {f"route-{index}": route_row(world, route) for index, route in enumerate(world.routes(zone))}
    mine = list(routes)
    routes["gateway-1"] = {"ip_prefix": world.cluster(4), "nexthop": "100.64.0.1"}
    routes["gateway-2"] = {
        "ip_prefix": "0.0.0.0/0",
        "nexthop": "10.0.0.1",
        "output_port": f"rtoe-GR_{world.name(zone)}",
    }
    switch = [world.subnet(zone, f).replace(".0/", ".1/").replace("::/", "::1/") for f in world.families()]
    transit = [world.transit(zone, f) + ("/16" if f == 4 else "/64") for f in world.families()]
    if world.six:
        routes["gateway-1"]["ip_prefix"], routes["gateway-2"]["ip_prefix"] = world.cluster(6), "::/0"
    found = {
        "NB_Global": {"g": {"name": world.name(zone), "nb_cfg": 4}},
        "Logical_Router": {
            "lr": {"name": "ovn_cluster_router", "static_routes": a_set([["uuid", uuid] for uuid in mine])},
            "gr": {
                "name": f"GR_{world.name(zone)}",
                "static_routes": a_set([["uuid", f"gateway-{n}"] for n in (1, 2)]),
            },
        },
        "Logical_Router_Static_Route": routes,
        "Logical_Router_Port": {
            "p1": {"name": f"rtos-{world.name(zone)}", "networks": a_set(switch)},
            "p2": {"name": f"rtots-{world.name(zone)}", "networks": a_set(transit)},
        },
        "Logical_Switch_Port": {},
    }
    for index, (address, (_, runner)) in enumerate(world.vms.items()):
        if pods and runner == zone:
            name = f"ns_virt-launcher-vm{index}-{index:05d}"
            ids = a_map({"pod": "true", "namespace": "ns"})
            port = {"name": name, "addresses": f"0a:58:00:00:00:{index:02x} {address}", "external_ids": ids}
            found["Logical_Switch_Port"][f"lsp-{index}"] = port
    return found


def record(data: Any, magic: str = "JSON") -> bytes:
    """One record of a log."""
    text = json.dumps(data).encode() + b"\n"
    return f"OVSDB {magic} {len(text)} {hashlib.sha1(text).hexdigest()}\n".encode() + text


def uuids(found: dict[str, Table]) -> dict[str, Any]:
    """A transaction that makes all the rows."""
    return {**found, "_date": 1700000000000}


def ovsdb_file(found: dict[str, Table], magic: str = "JSON") -> bytes:
    """A compacted database, standalone or clustered."""
    if magic == "JSON":
        return record(SCHEMA) + record(uuids(found))
    return record({"cluster_id": "c", "prev_index": 7, "prev_data": [SCHEMA, uuids(found)]}, magic)


def nbctl_json(found: dict[str, Table]) -> str:
    """``ovn-nbctl --format=json list A -- list B -- ...``: a line for each table."""
    lines = []
    for name, rows in found.items():
        columns = list(SCHEMA["tables"][name]["columns"])  # type: ignore[index]
        data = [[["uuid", uuid], *(row.get(c, ["set", []]) for c in columns)] for uuid, row in rows.items()]
        lines.append(json.dumps({"headings": ["_uuid", *columns], "data": data}))
    return "\n".join([*lines, ""])
