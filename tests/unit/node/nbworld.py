"""Zones with a northbound database each that takes ovn-nbctl's words, and pods that move between them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Sequence
from ipaddress import IPv4Interface
from types import SimpleNamespace
from typing import Any

from lab.embedded.model.kinds import NODE
from lab.embedded.model.spec import NodeSpec
from lab.embedded.node import podnetwork as net
from lab.embedded.node.addresses import Pool
from lab.embedded.node.ovnzone import ZoneBuilder
from lab.embedded.node.podnotes import POD_NETWORKS
from lab.embedded.node.vmroutes import ALLOW_BRIDGE, DOMAIN, NODE_NAME, TARGET_READY
from lab.embedded.node.vmzone import BUGS, VmZone

Obj = dict[str, Any]
KINDS = {"ip_prefix": "", "nexthop": "", "policy": [], "output_port": [], "cidr": "", "dhcpv4_options": []}
CELL = re.compile(r'(\w+)(?::(?:"([^"]+)"|([\w/.-]+)))?=(.*)', re.DOTALL)


class Northbound:
    """``ovn-nbctl`` on three tables and NB_Global: create, set, add, remove, destroy in one transaction."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Obj]] = {"Logical_Router": {net.ROUTER: {"static_routes": []}}}
        self.done: list[tuple[str, ...]] = []
        self._numbers = itertools.count()

    async def ctl(self, *words: str) -> str:
        self.done.append(words)
        made: dict[str, str] = {}
        for command in _commands(words):
            self._apply(command, made)
        return ""

    async def table(self, name: str, columns: Sequence[str] = (), *, where: str = "") -> list[Obj]:
        return [{**row, "_uuid": key} for key, row in self.tables.get(name, {}).items()]

    def _apply(self, command: list[str], made: dict[str, str]) -> None:
        match command:
            case [reference, "create", table, *cells]:
                uuid = made[reference.removeprefix("--id=")] = f"uuid-{next(self._numbers)}"
                row: Obj = {**KINDS, "external_ids": {}, "options": {}}
                self._set(self.tables.setdefault(table, {}).setdefault(uuid, row), cells, made)
            case ["set", table, key, *cells]:
                self._set(self.tables.setdefault(table, {}).setdefault(key, {}), cells, made)
            case ["add", "Logical_Router", router, "static_routes", reference]:
                self.tables["Logical_Router"][router]["static_routes"].append(made[reference])
            case ["remove", "Logical_Router", router, "static_routes", uuid]:
                self.tables["Logical_Router"][router]["static_routes"].remove(uuid)
                del self.tables["Logical_Router_Static_Route"][uuid]
            case ["destroy", table, uuid]:
                del self.tables[table][uuid]
            case _:
                raise AssertionError(command)

    def _set(self, row: Obj, cells: Sequence[str], made: dict[str, str]) -> None:
        for cell in cells:
            found = CELL.fullmatch(cell)
            assert found, cell
            column, key, text = found[1], found[2] or found[3], found[4]
            value = made.get(text) or (json.loads(text) if text.startswith('"') else text)
            if key:
                row.setdefault(column, {})[key] = value
            else:
                row[column] = value

    def routes(self) -> list[tuple[str, str, str, str]]:
        """(prefix, next hop, policy, port) of the router, sorted."""
        rows = self.tables.get("Logical_Router_Static_Route", {})
        listed = [rows[uuid] for uuid in self.tables["Logical_Router"][net.ROUTER]["static_routes"]]
        return sorted((r["ip_prefix"], r["nexthop"], r["policy"] or "", r["output_port"] or "") for r in listed)

    def leases(self) -> list[str]:
        return [row["external_ids"]["k8s.ovn.org/name"] for row in self.tables.get("DHCP_Options", {}).values()]


def _commands(words: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            found.append([])
        else:
            found[-1].append(word)
    return found


class World:
    """A cluster of zones that all see the same pods, numbered from 1."""

    def __init__(self, size: int, *, bug: bool = False) -> None:
        self.members = {f"worker-{n}": net.member(NodeSpec(f"worker-{n}", n)) for n in range(1, size + 1)}
        self.pods: dict[str, Obj] = {}
        self.northbound = {name: Northbound() for name in self.members}
        self.bugs = "OCPBUGS-27215" if bug else ""
        self.pools = {name: Pool(member.subnet) for name, member in self.members.items()}
        self.zones = {name: self._zone(index, name) for index, name in enumerate(self.members, 1)}
        self._clock = itertools.count(10)
        self.start()

    def _zone(self, index: int, name: str) -> VmZone:
        nodes = {
            other: {"metadata": {"name": other, "annotations": net.node_annotations(member)}}
            for other, member in self.members.items()
        }
        ctx: Any = SimpleNamespace(
            node=NodeSpec(name, index),
            informers=SimpleNamespace(get=lambda kind: SimpleNamespace(items=nodes if kind is NODE else self.pods)),
            northbound=self.northbound[name],
            ovs=SimpleNamespace(table=self._settings),
        )
        return VmZone(ctx, ZoneBuilder(ctx, lambda _name: None), self.pools[name])

    async def _settings(self, _table: str, _columns: Any) -> list[Obj]:
        return [{"external_ids": {BUGS: self.bugs}}]

    def start(self, *names: str) -> None:
        """The controllers start, all or some: their own subnets' way out first, as the zone's builder writes it."""
        for name in names or self.zones:
            me, database = self.members[name], self.northbound[name]
            own = net.Route(net.ROUTER, str(me.subnet), str(me.join), "src-ip")
            if (own.prefix, own.nexthop, own.policy, "") not in database.routes():
                asyncio.run(database.ctl(*own.words("own")[1:]))
            asyncio.run(self.zones[name].begin())

    def pod(self, name: str, node: str, address: str = "", *, vm: str = "", ready: bool = False) -> Obj:
        """A pod that runs; with ``vm`` a launcher that takes its address along."""
        notes = {ALLOW_BRIDGE: "", DOMAIN: vm} if vm else {}
        if ready:
            notes[TARGET_READY] = "2026-08-22 10:34:54 +0000 UTC"
        if address:
            entry = {"ip_addresses": [address], "mac_address": net.mac_of(IPv4Interface(address).ip)}
            notes[POD_NETWORKS] = json.dumps({"default": entry})
        meta = {
            "name": name,
            "namespace": "default",
            "uid": name,
            "creationTimestamp": f"2026-08-22T10:00:{next(self._clock):02d}Z",
            "labels": {"kubevirt.io": "virt-launcher"} if vm else {},
            "annotations": notes,
        }
        self.pods[f"default/{name}"] = {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": "Running"}}
        return self.pods[f"default/{name}"]

    def look(self, *zones: str) -> None:
        for name in zones or self.zones:
            asyncio.run(self.zones[name].look("default/vm"))

    def boot(self, node: str = "worker-1", number: int = 4) -> str:
        """The VM on its home node; its address."""
        address = f"{self.members[node].subnet[number]}"
        self.pod("launcher-0", node, f"{address}/23", vm="vm")["metadata"]["labels"][NODE_NAME] = node
        self.look()
        return address

    def migrate(self, target: str) -> None:
        """A whole migration, as every zone sees it."""
        source = next(p for p in self.pods.values() if p["status"]["phase"] == "Running" and DOMAIN in notes(p))
        fresh = self.pod(f"launcher-{len(self.pods)}", target, vm="vm")
        fresh["metadata"]["annotations"][POD_NETWORKS] = notes(source)[POD_NETWORKS]
        self.look()
        fresh["metadata"]["annotations"][TARGET_READY] = "now"
        self.look()
        fresh["metadata"]["labels"][NODE_NAME] = target
        source["status"]["phase"] = "Succeeded"
        self.look()

    def legs(self, address: str) -> dict[str, set[str]]:
        """By zone: where its routes for the address lead; ``local`` for the node's own switch."""
        found: dict[str, set[str]] = {}
        hops = {str(member.transit): name for name, member in self.members.items()}
        for name, database in self.northbound.items():
            rows = [row for row in database.routes() if row[0] == address]
            assert all(row[2] == "dst-ip" and row[3] in ("", f"rtos-{name}") for row in rows)
            found[name] = {"local" if row[3] else hops[row[1]] for row in rows}
            assert len(found[name]) == len(rows)
        return found


def notes(pod: Obj) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"]["annotations"]
    return found
