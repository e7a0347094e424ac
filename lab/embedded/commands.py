"""What each command of the embedded lab does: the calls behind the command line, and their tables.

It must not contain the work itself: that is in `lifecycle` and `faults`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.spec import LabSpec


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _up(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.up import Options, plan, up

    spec = LabSpec(name=arguments.name, workers=arguments.workers)
    if arguments.plan:
        print(plan(spec))
        return 0
    facts = up(spec, Options(offline=arguments.offline), _say)
    if facts.get("already"):
        print(f"lab {spec.name} is up already")
    else:
        print(f"lab {spec.name} is up, in {facts['seconds']:.1f} s")
    _table([("NODE", "MACHINE NETWORK", "NICS"), *((n.name, n.machine_ip, ",".join(n.nics)) for n in spec.nodes)])
    _table([("OUTSIDE HOST", "VLAN", "ADDRESS"), *((v.host, str(v.vlan), str(v.gateway)) for v in spec.vlans)])
    print(f"\nexport KUBECONFIG={facts['kubeconfig']}")
    return 0


def _show(value: object) -> None:
    """Print for programs."""
    print(json.dumps(value, indent=1, default=str))


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _down(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.down import down

    was_up = down(Layout(LabSpec(name=arguments.name).name), purge=arguments.purge)
    print(f"lab {arguments.name} is down" if was_up else f"lab {arguments.name} was not up")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.status import status

    found = status([] if arguments.all else [arguments.name])
    if arguments.json:
        _show(found)
    else:
        head = ("LAB", "STATE", "NODES", "API", "MEMORY", "FAULTS")
        _table([head, *(_status_row(entry) for entry in found)])
        for entry in found:
            if entry.get("problem"):
                print(f"{entry['name']}: {entry['problem']}")
    return 0 if all(entry["state"] == "up" for entry in found) and found else 1


def _status_row(entry: dict[str, object]) -> tuple[str, ...]:
    nodes = entry.get("nodes")
    ready = list(nodes.values()) if isinstance(nodes, dict) else []
    faults = entry.get("faults")
    return (
        str(entry["name"]),
        str(entry["state"]),
        f"{ready.count('Ready')}/{len(ready)} Ready" if ready else "-",
        str(entry.get("api", "-")),
        f"{entry['resident_mib']} MiB" if "resident_mib" in entry else "-",
        ", ".join(map(str, faults)) if isinstance(faults, list) and faults else "-",
    )


def _kubeconfig(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.enter import require_up

    print(require_up(Layout(arguments.name))["kubeconfig"])
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.good else 'NOT'}  {finding.subject}: {finding.seen}")
        if not finding.good and finding.remedy:
            print(f"       try: {finding.remedy}")
    return 0 if all(finding.good for finding in findings) else 10


def _outside(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle import enter

    facts = enter.require_up(Layout(arguments.name))
    if arguments.action == "list":
        for host in facts["outside_hosts"]:  # type: ignore[attr-defined]
            print(host)
        return 0
    argv = [word for number, word in enumerate(arguments.argv) if number or word != "--"]
    if arguments.action == "connect":
        if len(argv) != 2:
            raise LabError("wanted `virtlab outside connect HOST ADDRESS PORT`", f"{len(argv)} words after the host")
        argv = ["busybox", "nc", *argv]
    if not argv:
        raise LabError("wanted a command to run", "none", advice="virtlab outside exec gateway-2024 -- ip addr")
    inside = enter.argv_in_host(facts, arguments.host, argv)
    os.execvpe(inside[0], inside, enter.environment(facts))


def _node(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle import enter

    layout = Layout(arguments.name)
    facts = enter.require_up(layout)
    argv = [word for number, word in enumerate(arguments.argv) if number or word != "--"]
    if not argv:
        raise LabError("wanted a command to run", "none", advice="virtlab node exec worker-1 -- ovs-vsctl show")
    inside = enter.argv_in_node(layout, facts, arguments.host, argv)
    os.execvpe(inside[0], inside, enter.environment(facts))


def _fault(arguments: argparse.Namespace) -> int:
    from lab.embedded.faults.catalogue import FAULTS, Active
    from lab.embedded.lifecycle.enter import site

    layout = Layout(arguments.name)
    active = Active(layout.root / "faults")
    if arguments.action == "list":
        if arguments.json:
            _show({"set": active.entries(), "known": [fault.name for fault in FAULTS]})
            return 0
        known = [(f.name, f.layer, " ".join(f"{key}=" for key in f.parameters), f.summary) for f in FAULTS]
        _table([("FAULT", "LAYER", "ARGUMENTS", "WHAT"), *known])
        for entry in active.entries():
            print(f"set: {_fault_line(entry)}")
        return 0
    place = site(layout)
    if arguments.action == "set":
        if arguments.fault is None:
            raise LabError("wanted the name of a fault", "none", advice="virtlab fault list")
        entry = asyncio.run(active.set(place, arguments.fault, arguments.arguments))
        print(f"set{' already' if entry.get('already') else ''}: {_fault_line(entry)}")
        return 0
    healed = asyncio.run(active.heal(place, arguments.fault, arguments.arguments))
    for entry in healed:
        print(f"healed: {_fault_line(entry)}")
    if not healed:
        print("nothing to heal")
    return 0


def _fault_line(entry: dict[str, Any]) -> str:
    return " ".join([entry["name"], *(f"{key}={value}" for key, value in entry["arguments"].items())])


TABLE: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "doctor": _doctor,
    "fault": _fault,
    "outside": _outside,
    "node": _node,
}
