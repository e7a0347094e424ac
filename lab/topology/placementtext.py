"""The hosted-cluster view as tables for people; ages as kubectl writes them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from lab.topology.placement import Placement


def age(created: str, now: datetime.datetime) -> str:
    """Time since, as kubectl writes it (apimachinery/pkg/util/duration)."""
    try:
        seconds = int((now - datetime.datetime.fromisoformat(created.replace("Z", "+00:00"))).total_seconds())
    except ValueError:
        return "<unknown>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{max(0, seconds)}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def text(placement: Placement) -> Iterator[str]:
    """The tables for people."""
    now = datetime.datetime.now(datetime.UTC)
    head = ("NAMESPACE", "VM", "STATUS", "NODE", "HOME", "IP", "MOVES", "AGE")
    clusters = any(vm.cluster for vm in placement.vms)
    rows = [
        (
            *(vm.namespace, vm.name, vm.status, vm.node, vm.home, ",".join(vm.addresses), str(vm.moves)),
            age(vm.created, now),
            *([vm.cluster] if clusters else []),
        )
        for vm in placement.vms
    ]
    yield from _table("hosted nodes", [(*head, *(["CLUSTER"] if clusters else [])), *rows])
    yield from _table(
        "launcher pods",
        [
            ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"),
            *(
                (
                    *(pod.namespace, pod.name, pod.ready, pod.status, str(pod.restarts), age(pod.created, now)),
                    *(",".join(pod.addresses), pod.node),
                )
                for pod in placement.launchers
            ),
        ],
    )
    yield from _table(
        "node subnets",
        [
            ("NODE", "NODE-SUBNETS", "OVNKUBE POD"),
            *((node.name, node.subnets, node.pod) for node in placement.nodes),
        ],
    )
    if pings := list(_pings(placement)):
        yield from _table("ping from each hosted node", [("VM", "NODE", "TO", "RESULT", "DETAIL", "BY"), *pings])
    yield from (f"note: {note}" for note in placement.notes)


def _pings(placement: Placement) -> Iterator[tuple[str, ...]]:
    for vm in placement.vms:
        if (ping := vm.ping) is not None:
            outcome = ping.outcome.upper() if ping.outcome != "reached" else ping.outcome
            yield vm.name, vm.node, ping.to, outcome, ping.detail, ping.way


def _table(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"{title}:"
    if len(rows) == 1:
        yield "  none"
    else:
        cells = [tuple(cell or "<none>" for cell in row) for row in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(rows[0]))]
        for row in cells:
            yield "  " + "   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
    yield ""
