"""The matrix as data, and what a run's record says to it. Pure: runs nothing.

A cell is right about a cause when the first line of its reason has all the words wanted; detection asks for the verdict
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

CELLS = Path(__file__).parent / "cells.yaml"
GREEN, MISSING = "passed", "not run"
FINDINGS = ("found: ", "last seen: ")
GAVE_UP = "it cannot get there any more: "
"""Why a wait ended early stands behind it (lab/core/errors.py, WaitHopeless): more than what was seen last."""


@dataclass(frozen=True)
class Cell:
    """One fault in one scenario; ``missed`` says why it is known not to be noticed."""

    fault: str
    verdicts: tuple[str, ...]
    cause: tuple[str, ...] = ()
    missed: str = ""
    sample: bool = False

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
    """What a cell came to. ``words`` are those of the cause that the first line has not."""

    fault: str
    scenario: str
    wanted: tuple[str, ...]
    verdict: str
    line: str
    seconds: float
    words: tuple[str, ...] = ()
    missed: str = ""
    made: str = field(default="", compare=False)

    @property
    def expected(self) -> bool:
        return self.verdict in self.wanted

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
        return self.detected and not self.words

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
        entry["fault"], verdicts, tuple(entry.get("cause", ())), entry.get("missed", ""), bool(entry.get("sample"))
    )


def sample(groups: Iterable[Group]) -> list[Group]:
    """The same with the cells of the sample alone."""
    chosen = [Group(g.feature, g.scenario, g.choose, tuple(c for c in g.cells if c.sample)) for g in groups]
    return [group for group in chosen if group.cells]


def first_line(reason: str) -> str:
    """What was found, of the first line that says so; the first line of all where none does."""
    lines = reason.strip().splitlines()
    if lines and GAVE_UP in lines[0]:
        return lines[0]
    for line in lines:
        for head in FINDINGS:
            if line.startswith(head):
                return line.removeprefix(head)
    return lines[0] if lines else ""


def values(made: str) -> dict[str, str]:
    """``node=worker-2 vlan=2024`` of a fault as it was made; of several, the first one's."""
    return dict(word.partition("=")[::2] for word in reversed(made.split()) if "=" in word)


def outcomes(group: Group, scenarios: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """What the record of a group's run says to each of its cells; one that never ran is ``not run``."""
    found = {str(s["name"]): s for s in scenarios}
    return [_outcome(group, cell, found.get(f"{group.scenario} [{cell.fault}]")) for cell in group.cells]


def _outcome(group: Group, cell: Cell, seen: Mapping[str, Any] | None) -> Outcome:
    if seen is None:
        return Outcome(cell.fault, group.scenario, cell.verdicts, MISSING, "", 0.0, cell.cause, cell.missed)
    made, reason = _made(seen), str(seen.get("reason") or "")
    known, line = values(made), first_line(reason)
    wanted = [re.sub(r"{(\w+)}", lambda m: known.get(m[1], m[0]), word) for word in cell.cause]
    words = tuple(word for word in wanted if word not in line)
    seconds = round(float(seen.get("seconds") or 0.0), 1)
    return Outcome(
        cell.fault, group.scenario, cell.verdicts, str(seen["verdict"]), line, seconds, words, cell.missed, made
    )


def _made(scenario: Mapping[str, Any]) -> str:
    """The faults as they were made, from the record's facts."""
    facts = [fact for fact in scenario.get("facts") or [] if fact.get("sort") == "fault" and not fact.get("healed")]
    return " ".join(str(fact["words"]) for fact in facts)
