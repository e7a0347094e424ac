"""`--plan`: what would run, what would be skipped and why, what would be changed on the cluster; and nothing is done.

A cluster that answers is asked what it can do; one that does not is left alone, and the needs are then listed unjudged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from lab.core.errors import EnvironmentBroken, LabError
from lab.evidence.record import RunRecord, ScenarioRecord
from lab.nmstate.policy import node_states
from lab.nmstate.state import NodeState
from lab.target.capabilities import Capabilities, detect
from lab.target.connect import connect
from lab.target.inventory import Target
from lab.topology.plan import Changes, changes


@dataclass(frozen=True)
class Planned:
    """One scenario. `skipped` is empty for one that would run; `needs` are those that nobody could judge."""

    name: str
    feature: str
    skipped: str
    needs: tuple[str, ...]
    changes: Changes


def wanted(item: pytest.Item) -> list[str]:
    """What a scenario needs, by its tags."""
    found = list(dict.fromkeys(str(mark.args[0]) for mark in item.iter_markers("needs")))
    return [*found, "disruptive"] if item.get_closest_marker("disruptive") else found


@dataclass(frozen=True)
class Known:
    """What the cluster says of itself; nothing of one that does not answer."""

    said: str
    capabilities: Capabilities | None = None
    states: tuple[NodeState, ...] = ()


def plan(items: Sequence[tuple[pytest.Item, ScenarioRecord]], target: Target) -> tuple[Known, list[Planned]]:
    """(what is known of the cluster, the scenarios in order). Raises UsageError for a need that is none."""
    known = _asked(target)
    capabilities = known.capabilities
    found = []
    for item, scenario in items:
        needs = wanted(item)
        unmet = "; ".join(capabilities.unmet(needs)) if capabilities else ""
        made = changes(Path(item.path).parent / "manifests", [step.name for step in scenario.steps], target)
        found.append(Planned(scenario.name, scenario.feature, unmet, () if capabilities else tuple(needs), made))
    return known, found


def _asked(target: Target) -> Known:
    try:
        client = connect(target)
        capabilities = detect(client, target)
    except EnvironmentBroken as error:
        start = f"; the run would start it with `{' '.join(target.lab.up)}`" if target.lab.up else ""
        return Known(f"target {target.name} does not answer ({error.headline}){start}; needs are not judged")
    said = f"target {target.name}: {capabilities.facts['workers']}"
    try:
        return Known(said, capabilities, tuple(node_states(client, capabilities.workers)))
    except LabError:
        return Known(said, capabilities)


def nics(known: Known, names: Sequence[str], target: Target) -> list[str]:
    """What each of these NICs is on the workers now: ``enp7s0f0: free on worker-1; part of bond0 on worker-2``."""
    found = []
    for name in names:
        uses: dict[str, list[str]] = {}
        for state in known.states:
            seen = state.named(name)
            free = "the node's own" if target.nics.vital(name) else "free"
            use = f"part of {seen[0].controller}" if seen and seen[0].controller else free if seen else "not there"
            uses.setdefault(use, []).append(state.node)
        said = "; ".join(f"{use} on {', '.join(nodes)}" for use, nodes in uses.items())
        found.append(f"{name}: {said or 'not known'}")
    return found


def lines(known: Known, planned: Sequence[Planned], target: Target) -> list[str]:
    """For people: each scenario with its changes, then what they come to."""
    rows = [known.said, ""]
    for number, one in enumerate(planned, 1):
        rows.append(f"[{number}/{len(planned)}] {'skip' if one.skipped else 'run '} {one.feature}: {one.name}")
        if one.skipped:
            rows.append(f"      since {one.skipped}")
            continue
        rows += [f"      {text}" for text in one.changes.lines()]
        rows += [f"      needs {', '.join(one.needs)}"] if one.needs else []
    run = [one for one in planned if not one.skipped]
    policies = dict.fromkeys(text for one in run for text in one.changes.policies)
    rows += ["", f"{len(run)} would run, {len(planned) - len(run)} be skipped; nothing was done"]
    where = ", ".join(known.capabilities.workers) if known.capabilities else "every worker"
    rows += [f"on {where}, and taken back at the end:", *(f"      {text}" for text in policies)] if policies else []
    taken = sorted({name for one in run for name in one.changes.nics})
    if taken:
        rows += [
            "NICs that these policies take, as they are now:",
            *(f"      {text}" for text in nics(known, taken, target)),
        ]
    counts = (
        (len({(one.feature, name) for one in run for name in one.changes.vms}), "VM"),
        (sum(one.changes.migrations for one in run), "live migration"),
    )
    made = [f"{number} {what}{'s' if number > 1 else ''}" for number, what in counts if number]
    rows += [f"in namespaces of the run: {', '.join(made)}; a Lease while it runs"] if made else []
    return rows


def show(record: RunRecord, items: Sequence[pytest.Item], target: Target, *, as_json: bool) -> str:
    """The plan as text. Raises LabError."""
    scenarios = {s.node_id: s for s in record.scenarios}
    pairs = [(item, scenarios[item.nodeid]) for item in items if item.nodeid in scenarios]
    known, planned = plan(pairs, target)
    if as_json:
        taken = sorted({name for one in planned if not one.skipped for name in one.changes.nics})
        body = {"target": known.said, "nics": nics(known, taken, target), "scenarios": [asdict(p) for p in planned]}
        return json.dumps(body, indent=1, ensure_ascii=False)
    return "\n".join(lines(known, planned, target))
