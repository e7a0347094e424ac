"""What a run that nothing was wrong with must come to, and what else it was told. Pure: runs nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lab.evidence.record import RunRecord
from tests.matrix import reported

FINE = ("passed", "skipped")


def alarms(record: RunRecord | None, exit_code: int, printed: str) -> list[str]:
    """Each scenario that was not as it must be, with the line that its report begins with; none for a good run.

    So are a run without a record, one that did not end, one that left something, and one in which nothing passed.
    """
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "it printed nothing")
    if record is None:
        return [f"no record, exit code {exit_code}: {last}"]
    found = [
        f"{one.verdict or 'not run'}: {one.title}: {reported.page(record, one) or one.reason or last}"
        for one in record.scenarios
        if one.verdict not in FINE
    ]
    found += [f"left: {one}" for one in record.leftovers]
    if record.broken:
        found.append(f"broken: {record.broken}")
    if not found and record.state != "finished":
        found.append(f"the run is {record.state}: {last}")
    if not found and (exit_code != 0 or not record.counts()["passed"]):
        found.append(f"exit code {exit_code}, {dict(record.counts())}: {last}")
    return found


def skipped(record: RunRecord | None) -> list[str]:
    """Scenarios that were skipped, and why."""
    return [f"{one.title}: {one.reason}" for one in record.scenarios if one.verdict == "skipped"] if record else []


def turns(features: Sequence[str], runs: int, seed: int) -> list[list[str]]:
    """Rounds in which each feature comes once, shuffled anew; the last one is cut to the number of runs."""
    choose, found = random.Random(seed), list[list[str]]()
    while (left := runs - sum(map(len, found))) > 0:
        found.append(choose.sample(sorted(features), len(features))[:left])
    return found
