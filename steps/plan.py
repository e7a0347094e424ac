"""`--plan`: what would run, what would be skipped and why, what would be changed on the cluster; and nothing is done.

A cluster that answers is asked what it can do; one that does not is left alone, and the needs are then listed unjudged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from lab.core.errors import EnvironmentBroken
from lab.evidence.record import RunRecord, ScenarioRecord
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


def plan(items: Sequence[tuple[pytest.Item, ScenarioRecord]], target: Target) -> tuple[str, list[Planned]]:
    """(what is known of the cluster, the scenarios in order). Raises UsageError for a need that is none."""
    capabilities, said = _asked(target)
    found = []
    for item, scenario in items:
        needs = wanted(item)
        unmet = "; ".join(capabilities.unmet(needs)) if capabilities else ""
        made = changes(Path(item.path).parent / "manifests", [step.name for step in scenario.steps], target)
        found.append(Planned(scenario.name, scenario.feature, unmet, () if capabilities else tuple(needs), made))
    return said, found


def _asked(target: Target) -> tuple[Capabilities | None, str]:
    try:
        client = connect(target)
        capabilities = detect(client, target)
    except EnvironmentBroken as error:
        start = f"; the run would start it with `{' '.join(target.lab.up)}`" if target.lab.up else ""
        return None, f"target {target.name} does not answer ({error.headline}){start}; needs are not judged"
    return capabilities, f"target {target.name}: {capabilities.facts['workers']}"


def lines(said: str, planned: Sequence[Planned]) -> list[str]:
    """For people: each scenario with its changes, then what they come to."""
    rows = [said, ""]
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
    rows += ["on every worker, and taken back at the end:", *(f"      {text}" for text in policies)] if policies else []
    return rows


def show(record: RunRecord, items: Sequence[pytest.Item], target: Target, *, as_json: bool) -> str:
    """The plan as text. Raises LabError."""
    scenarios = {s.node_id: s for s in record.scenarios}
    pairs = [(item, scenarios[item.nodeid]) for item in items if item.nodeid in scenarios]
    said, planned = plan(pairs, target)
    if as_json:
        return json.dumps({"target": said, "scenarios": [asdict(p) for p in planned]}, indent=1, ensure_ascii=False)
    return "\n".join(lines(said, planned))
