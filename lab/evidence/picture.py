"""The network as it was found, as plain data for a drawing: workers with bridges, bonds, ports and VMs; the segments.

It reads what nmstate reports and what each worker's own Open vSwitch says, side by side, since the two may differ: that
difference is often the cause. It judges nothing and raises nothing of what it meets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.evidence import oddities
from lab.evidence.record import now
from lab.nmstate.nics import NIC_TYPES
from lab.nmstate.state import NodeState
from lab.ovn import bonds
from lab.ovn.switch import NodeSwitch
from lab.topology.scene import Scene

BUDGET_S = 10.0
MOST = 12
"""Workers in one picture: those with a VM of the scenario first."""
INTEGRATION = "br-int"
"""OVN's own bridge: of its many ports only the patches to other bridges are drawn."""
DRAWN = NIC_TYPES | {"bond", "ovs-bridge", "linux-bridge", "vlan"}
"""Types of links that are drawn; taps and the like are guests'."""


def take(scene: Scene) -> dict[str, Any]:
    """The picture of a scenario's workers and segments, at this moment."""
    site, deadline = scene.site, Deadline.after(BUDGET_S)
    used = [guest.node for guest in scene.guests.values() if guest.node]
    shown = sorted(site.workers, key=lambda node: node not in used)[:MOST]
    with ThreadPoolExecutor(2 + len(shown), "picture") as pool:
        switches = pool.submit(site.reader.read_all, shown, deadline=deadline)
        states = pool.submit(_states, scene)
        wires = {node: pool.submit(_wires, scene, node, deadline) for node in shown}
        workers = [
            _wired(_worker(scene, n, states.result().get(n), switches.result()[n]), wires[n].result())
            for n in sorted(shown)
        ]
    return {
        "taken": now(),
        "workers": workers,
        "oddities": oddities.of(workers),
        "segments": _segments(scene),
        "left_out": len(site.workers) - len(shown),
    }


def _states(scene: Scene) -> dict[str, NodeState]:
    try:
        return {state.node: state for state in scene.site.policies.node_states()}
    except LabError:
        return {}


def _wires(scene: Scene, node: str, deadline: Deadline) -> dict[str, Any]:
    """What the worker's kernel and Open vSwitch say of links and bonds: nmstate tells neither carrier nor LACP, and
    what it reports may be a minute old."""
    try:
        said = scene.site.reader.run(node, bonds.ARGV, deadline=deadline).stdout
        found, rows = bonds.read_links(node, said), json.loads(said.partition(bonds.MARK)[0])
    except (LabError, ValueError):
        return {}
    try:
        tables = scene.site.reader.run(node, ("nft", "list", "tables"), deadline=deadline)
    except LabError:
        tables = None
    made = [str(r["ifname"]) for r in rows if (r.get("linkinfo") or {}).get("info_kind") == "bridge"]
    return {
        "carriers": {name: link.link for name, link in found.links.items()},
        "bonds": [
            {"name": b.name, "members": [m.name for m in b.members], "troubles": list(b.troubles)} for b in found.bonds
        ],
        "tables": sorted(tables.stdout.split("\n")) if tables is not None and tables.ok else None,
        "bridges": {name: [str(r["ifname"]) for r in rows if r.get("master") == name] for name in made},
    }


def _wired(worker: dict[str, Any], wires: dict[str, Any]) -> dict[str, Any]:
    """Both together; of carriers only the NICs' own, by what nmstate calls a NIC."""
    carriers = wires.pop("carriers", {})
    nics = [link["name"] for link in worker["links"] if link["type"] in NIC_TYPES and link["name"] in carriers]
    lit = [name for name in nics if carriers[name]]
    return worker | wires | {"lit": lit, "dark": [name for name in nics if name not in lit]}


def _worker(scene: Scene, node: str, state: NodeState | None, switch: NodeSwitch | LabError) -> dict[str, Any]:
    trouble = switch.headline if isinstance(switch, LabError) else ""
    ports = () if isinstance(switch, LabError) else switch.ports
    return {
        "name": node,
        "links": _links(state),
        "mappings": dict(switch.mappings) if isinstance(switch, NodeSwitch) else {},
        "ports": [
            {
                "name": p.name,
                "bridge": p.bridge,
                "stp": p.stp,
                "tag": p.tag,
                "trunks": list(p.trunks),
                "interfaces": list(p.interfaces),
                "up": p.up,
            }
            for p in ports
            if p.bridge != INTEGRATION or "patch" in p.types
        ],
        "vms": [
            {"name": g.name, "segment": str(g.segment), "addresses": list(g.addresses)}
            for g in scene.guests.values()
            if g.node == node
        ],
        "trouble": trouble or ("" if state else "nmstate reports nothing of it"),
    }


def _links(state: NodeState | None) -> list[dict[str, Any]]:
    if state is None:
        return []
    return [
        {"name": i.name, "type": i.type, "state": i.state, "controller": i.controller, "ports": list(i.ports)}
        for i in state.interfaces.values()
        if i.type in DRAWN
    ]


def _segments(scene: Scene) -> list[dict[str, Any]]:
    """Those that the scenario's VMs and the residents are in; all of the target when there are none."""
    site = scene.site
    used = {str(g.segment) for g in scene.guests.values()} | set(site.residents.of)
    known: Sequence[Any] = site.target.segments
    return [
        {
            "name": s.name,
            "vlan": s.vlan,
            "gateway": s.gateway,
            "subnet": s.subnet,
            "outside": s.outside,
            "localnet": site.residents.networks[s.name].localnet if s.name in site.residents.networks else "",
        }
        for s in known
        if not used or s.name in used
    ]
