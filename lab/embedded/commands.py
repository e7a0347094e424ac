"""What each command of the embedded lab does: the calls behind the command line, and their tables.

It must not contain the work itself: that is in `lifecycle` and `faults`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lab.embedded.errors import UsageError
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.releases import KUBEVIRT, NEWEST
from lab.embedded.model.spec import LabSpec


def _layout(arguments: argparse.Namespace) -> Layout:
    """The files of the lab that is named. Raises UsageError for a name that no lab can have."""
    return Layout(LabSpec(name=arguments.name).name)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _up(arguments: argparse.Namespace) -> int:
    from lab.embedded.fabric import gateways
    from lab.embedded.lifecycle.up import Options, plan, up

    spec = LabSpec(
        name=arguments.name,
        workers=arguments.workers,
        nmstate=NEWEST if arguments.nmstate is None else arguments.nmstate,
        kubevirt=KUBEVIRT if arguments.kubevirt is None else arguments.kubevirt,
        pod_security=arguments.pod_security or "privileged",
    )
    bugs = _known_bugs(arguments.ovnk_bug)
    if arguments.plan:
        print(plan(spec))
        return 0
    asked = frozenset(name for name in ("nmstate", "kubevirt", "pod_security") if getattr(arguments, name) is not None)
    options = Options(offline=arguments.offline, asked=asked, roles=_roles(arguments))
    facts = up(spec, options, _say)
    for bug in bugs:
        _set_faults(arguments, [["ovnk-bug", f"bug={bug}"]])
    if facts.get("already"):
        print(f"lab {spec.name} is up already")
    else:
        print(f"lab {spec.name} is up, in {facts['seconds']:.1f} s")
    _table([("NODE", "MACHINE NETWORK", "NICS"), *((n.name, n.machine_ip, ",".join(n.nics)) for n in spec.nodes)])
    outside = gateways.hosts(spec).values()
    _table([("OUTSIDE HOST", "VLAN", "ADDRESS"), *((h.name, str(h.vlan), str(h.address)) for h in outside)])
    print(f"\nexport KUBECONFIG={shlex.quote(facts['kubeconfig'])}")
    return 0


def _roles(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.rbac is None:
        return []
    from pathlib import Path

    from lab.embedded.lifecycle.restricted import DEFAULT, read

    return read(Path(arguments.rbac) if arguments.rbac else DEFAULT)


def _known_bugs(names: Sequence[str]) -> Sequence[str]:
    """The names, each of them a bug that zones can have: said before a lab is brought up for nothing."""
    if names:
        from lab.embedded.faults.ovnk_bug import known

        for name in names:
            known(name)
    return names


def _set_faults(arguments: argparse.Namespace, faults: Sequence[Sequence[str]]) -> None:
    from lab.embedded.faults.catalogue import Active
    from lab.embedded.lifecycle.enter import site

    layout = _layout(arguments)

    async def act() -> None:
        async for entry in Active(layout.root / "faults").set_all(site(layout), faults):
            print(f"set{' already' if entry.get('already') else ''}: {_fault_line(entry)}")

    asyncio.run(act())


def _show(value: object) -> None:
    """Print for programs."""
    print(json.dumps(value, indent=1, default=str))


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _down(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.down import down

    was_up = down(_layout(arguments), purge=arguments.purge)
    print(f"lab {arguments.name} is down" if was_up else f"lab {arguments.name} was not up")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.status import status

    found = status([] if arguments.all else [_layout(arguments).name])
    if arguments.json:
        _show(found)
    else:
        head = ("LAB", "STATE", "NODES", "API", "MEMORY", "FAULTS")
        _table([head, *(_status_row(entry) for entry in found)])
        for entry in found:
            if entry.get("problem"):
                print(f"{entry['name']}: {entry['problem']}")
    if not found:
        print("no lab of this user; try: virtlab up")
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

    layout = _layout(arguments)
    facts = require_up(layout)
    print(layout.kubeconfig if arguments.admin else facts["kubeconfig"])
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.good else 'NOT'}  {finding.subject}: {finding.seen}")
        if not finding.good and finding.remedy:
            print(f"       try: {finding.remedy}")
    return 0 if all(finding.good for finding in findings) else 10


def _fetch(arguments: argparse.Namespace) -> int:
    from lab.embedded.host.extras import fetch
    from lab.embedded.lifecycle.layout import cache_dir

    for program, path in fetch(cache_dir(), arguments.group, progress=_say, offline=arguments.offline).items():
        print(f"{program}: {path}")
    return 0


def _outside(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle import enter

    facts = enter.require_up(_layout(arguments))
    if arguments.action == "list":
        for host in facts["outside_hosts"]:  # type: ignore[attr-defined]
            print(host)
        return 0
    argv: list[str] = arguments.argv
    if arguments.host is None:
        known = facts["outside_hosts"]
        hosts = ", ".join(known) if isinstance(known, list) else "none"
        raise UsageError("wanted the name of an outside host", "none", advice=f"one of {hosts}")
    if arguments.action == "connect":
        if len(argv) != 2:
            raise UsageError(
                "wanted an address and a port after the host",
                f"{len(argv)} words: {' '.join(argv)}".rstrip(": "),
                advice=f"virtlab outside connect {arguments.host} 192.168.24.20 22",
            )
        if not (argv[1].isascii() and argv[1].isdigit() and 1 <= int(argv[1]) <= 65535):
            raise UsageError("wanted a port from 1 to 65535", repr(argv[1]))
        argv = ["busybox", "nc", *argv]
    if not argv:
        raise UsageError("wanted a command to run", "none", advice=f"virtlab outside exec {arguments.host} -- ip addr")
    inside = enter.argv_in_host(facts, arguments.host, argv)
    os.execvpe(inside[0], inside, enter.environment(facts))


def _node(arguments: argparse.Namespace) -> int:
    from lab.embedded.lifecycle import enter

    layout = _layout(arguments)
    facts = enter.require_up(layout)
    if not arguments.argv:
        raise UsageError(
            "wanted a command to run", "none", advice=f"virtlab node exec {arguments.host} -- ovs-vsctl show"
        )
    inside = enter.argv_in_node(layout, facts, arguments.host, arguments.argv)
    os.execvpe(inside[0], inside, enter.environment(facts))


def _fault(arguments: argparse.Namespace) -> int:
    from lab.embedded.faults.catalogue import FAULTS, Active, several
    from lab.embedded.lifecycle.enter import site

    layout = _layout(arguments)
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
    if arguments.action == "set":
        if arguments.fault is None:
            raise UsageError("wanted the name of a fault", "none", advice="virtlab fault list")
        _set_faults(arguments, several([arguments.fault, *arguments.arguments]))
        return 0
    wanted = several([arguments.fault, *arguments.arguments]) if arguments.fault else [[]]

    async def act() -> bool:
        healed = [await active.heal(site(layout), words[0] if words else None, words[1:]) for words in wanted]
        for entry in (entry for entries in healed for entry in entries):
            print(f"healed: {_fault_line(entry)}")
        return any(healed)

    if not asyncio.run(act()):
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
    "fetch": _fetch,
    "fault": _fault,
    "outside": _outside,
    "node": _node,
}
