"""The record of a run in several from the records of its workers: every scenario once, paths and pictures as the run's.

It copies and decides no verdict, but one: what a worker had not finished when it ended without a word is broken.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from lab.core.errors import EnvironmentBroken, UsageError
from lab.evidence.reading import load
from lab.evidence.record import RunRecord, ScenarioRecord, Verdict, now
from lab.parallel.groups import Group

PARTS = "parts"
LOG = "output.log"
LAST_LINES = 5


def folder_of(record: RunRecord, number: int) -> Path:
    """Where a worker keeps the record, evidence, consoles and output of one group."""
    return record.folder / PARTS / str(number)


def read(record: RunRecord, number: int) -> RunRecord | None:
    """The record of a part as far as it goes; None before it has one, or when it cannot be read."""
    try:
        return load(folder_of(record, number) / "run.json")
    except UsageError:
        return None


def take(record: RunRecord, part: RunRecord, number: int, node_id: str) -> ScenarioRecord | None:
    """Make a scenario of the run what its worker's record says; returns it, or None when there is none of that id."""
    index = next((i for i, s in enumerate(record.scenarios) if s.node_id == node_id), None)
    told = next((s for s in part.scenarios if s.node_id == node_id), None)
    if index is None or told is None:
        return None
    mine = record.scenarios[index]
    shown = told.picture if told.picture in ("", told.feature) else f"{index + 1:02d}"
    if told.picture in part.pictures:
        record.pictures[shown] = part.pictures[told.picture]
    for each in fields(ScenarioRecord):
        setattr(mine, each.name, getattr(told, each.name))
    mine.picture = shown
    if told.evidence:
        mine.evidence = f"{PARTS}/{number}/{told.evidence}"
    return mine


def close(record: RunRecord, part: RunRecord) -> None:
    """Add what a part says of the whole: versions, the cluster, seconds, what it left behind."""
    record.versions |= {name: said for name, said in part.versions.items() if name not in record.versions}
    record.target |= {name: said for name, said in part.target.items() if name not in record.target}
    record.leftovers += part.leftovers
    record.broken = record.broken or part.broken
    for phase, seconds in part.phases.items():
        record.phases[phase] = round(record.phases.get(phase, 0.0) + seconds, 3)


def lost(record: RunRecord, number: int, group: Group, code: int | None) -> None:
    """Call broken what a worker that ended with *code* had not finished; the first of it says why, once."""
    mine = [s for s in record.scenarios if s.node_id in group.nodes]
    left = [s for s in mine if not s.verdict or (s.verdict == Verdict.PASSED and not s.ended)]
    begun = next((s for s in left if s.started), None)
    why = ended(record, number, group, begun, code)
    record.broken = record.broken or str(why)
    first = begun or next(iter(left), None)
    for scenario in left:
        scenario.verdict, scenario.ended = Verdict.BROKEN, now()
        scenario.reason = f"not finished, since its worker ended before: see {first.title!r}" if first else ""
    if first is not None:
        first.reason, first.advice = str(why), why.advice


def ended(
    record: RunRecord, number: int, group: Group, begun: ScenarioRecord | None, code: int | None
) -> EnvironmentBroken:
    """That a worker is gone, how, when, and the last that it said."""
    log = folder_of(record, number) / LOG
    how = f"it was ended by signal {-code}" if code is not None and code < 0 else f"it ended with exit status {code}"
    ran = any(s.ended for s in record.scenarios if s.node_id in group.nodes)
    idle = "between two scenarios, or while it put things back" if ran else "before its first scenario"
    return EnvironmentBroken(
        f"the worker of the feature {group.feature} to run to its end",
        "; ".join([f"{how} {f'while {begun.title!r} ran' if begun else idle}", *_last(log)]),
        str(log),
        "a kill that nobody sent is memory that ran out: `dmesg`, or fewer workers" if code == -9 else "read that log",
    )


def _last(log: Path) -> list[str]:
    try:
        rows = [row.strip() for row in log.read_text(encoding="utf-8", errors="replace").splitlines() if row.strip()]
    except OSError:
        return []
    return [f"it said last: {' / '.join(rows[-LAST_LINES:])}"] if rows else []


def not_run(record: RunRecord) -> list[ScenarioRecord]:
    """Skip all that has no verdict, with the reason."""
    cause = in_a_line(record.broken)
    found = [s for s in record.scenarios if not s.verdict]
    for scenario in found:
        scenario.verdict = Verdict.SKIPPED
        scenario.reason = f"not run, since the environment broke: {cause}"
    return found


def in_a_line(broken: str) -> str:
    """Of what broke the environment: what was wanted and what was found instead."""
    first, *rest = broken.splitlines()
    return "; ".join([first, *(line for line in rest if line.startswith(("found: ", "last seen: ")))][:2])
