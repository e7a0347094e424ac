"""The matrix as data, and what a run's record says to it. Pure: runs nothing.

A cell is right about a cause when the line that the reports begin with has all the words wanted, on a page and on a
terminal; detection asks for the verdict alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.evidence.record import RunRecord, ScenarioRecord
from tests.matrix import reported

CELLS = Path(__file__).parent / "cells.yaml"
GREEN, MISSING = "passed", "not run"
BAD = ("failed", "broken", "inconclusive")
"""Statuses of a step that did not hold."""


@dataclass(frozen=True)
class Cell:
    """One fault in one scenario; ``missed`` says why it is known not to be noticed."""

    fault: str
    verdicts: tuple[str, ...]
    cause: tuple[str, ...] = ()
    missed: str = ""
    sample: bool = False
    red: str = ""
    """The sentence that must be the first not to hold."""

    @property
    def name(self) -> str:
        return self.fault.removeprefix("start:").split()[0]


@dataclass(frozen=True)
class Group:
    """One run: a scenario, how pytest's -k chooses it, and its cells."""

    feature: str
    scenario: str
    choose: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Outcome:
    """What a cell came to: the line of the HTML report, and the ``words`` of the cause that it has not.

    ``unsaid`` are those that the summary on the terminal has not.
    """

    fault: str
    scenario: str
    wanted: tuple[str, ...]
    verdict: str
    line: str
    seconds: float
    words: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    missed: str = ""
    made: str = field(default="", compare=False)
    sentence: str = ""
    red: str = ""
    """The sentence that should be the first not to hold, if that is the point; and the first that did not."""

    @property
    def expected(self) -> bool:
        return self.verdict in self.wanted and self.sentence in ("", self.red)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Words of the cause that one of the reports has not."""
        return tuple(dict.fromkeys((*self.words, *self.unsaid)))

    @property
    def false_alarm(self) -> bool:
        return self.wanted == (GREEN,) and self.verdict not in (GREEN, MISSING)

    @property
    def to_detect(self) -> bool:
        return GREEN not in self.wanted or bool(self.missed)

    @property
    def detected(self) -> bool:
        return self.to_detect and not self.missed and self.expected

    @property
    def right_cause(self) -> bool:
        return self.detected and not self.lacking

    def plain(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def load(path: Path = CELLS) -> list[Group]:
    """Every group. Raises KeyError, TypeError for a file that is not as its head says."""
    return [
        Group(entry["feature"], entry["scenario"], entry["choose"], tuple(_cell(cell) for cell in entry["cells"]))
        for entry in yaml.safe_load(path.read_text())["groups"]
    ]


def _cell(entry: Mapping[str, Any]) -> Cell:
    wanted = entry["verdict"]
    verdicts = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    return Cell(
        entry["fault"],
        verdicts,
        tuple(entry.get("cause", ())),
        entry.get("missed", ""),
        bool(entry.get("sample")),
        entry.get("red", ""),
    )


def sample(groups: Iterable[Group]) -> list[Group]:
    """The same with the cells of the sample alone."""
    chosen = [Group(g.feature, g.scenario, g.choose, tuple(c for c in g.cells if c.sample)) for g in groups]
    return [group for group in chosen if group.cells]


def values(made: str) -> dict[str, str]:
    """``node=worker-2 vlan=2024`` of a fault as it was made; of several, the first one's."""
    return dict(word.partition("=")[::2] for word in reversed(made.split()) if "=" in word)


def outcomes(group: Group, records: Sequence[RunRecord]) -> list[Outcome]:
    """What records of runs say to each cell of a group; the last in which it ran counts, else it is ``not run``."""
    found = {s.name: (record, s) for record in records for s in record.scenarios if s.verdict}
    return [_outcome(group, cell, found.get(f"{group.scenario} [{cell.fault}]")) for cell in group.cells]


def _outcome(group: Group, cell: Cell, seen: tuple[RunRecord, ScenarioRecord] | None) -> Outcome:
    if seen is None:
        return Outcome(
            cell.fault, group.scenario, cell.verdicts, MISSING, "", 0.0, missed=cell.missed, sentence=cell.red
        )
    record, scenario = seen
    made = _made(scenario)
    known = values(made)
    wanted = [re.sub(r"{(\w+)}", lambda m: known.get(m[1], m[0]), word) for word in cell.cause]
    line, summary = reported.page(record, scenario), reported.terminal(record, scenario)
    return Outcome(
        cell.fault,
        group.scenario,
        cell.verdicts,
        str(scenario.verdict),
        line,
        round(scenario.seconds, 1),
        tuple(word for word in wanted if word not in line),
        tuple(word for word in wanted if word not in summary),
        cell.missed,
        made,
        cell.red,
        _first_red(scenario),
    )


def _first_red(scenario: ScenarioRecord) -> str:
    """The first sentence that did not hold; "" when all did."""
    return next((step.name for step in scenario.steps if step.status in BAD), "")


def _made(scenario: ScenarioRecord) -> str:
    """The faults as they were made, from the record's facts."""
    facts = [fact for fact in scenario.facts if fact.get("sort") == "fault" and not fact.get("healed")]
    return " ".join(str(fact["words"]) for fact in facts)


def unnoticed(path: Path = CELLS) -> dict[str, str]:
    """Faults that no check may notice, and why. Raises as :func:`load`."""
    return {str(name): str(why) for name, why in yaml.safe_load(path.read_text())["unnoticed"].items()}


def unproven(path: Path = CELLS) -> dict[str, str]:
    """Sentences that no cell turns red by itself, and why. Raises as :func:`load`."""
    return {str(name): str(why) for name, why in yaml.safe_load(path.read_text())["unproven"].items()}
