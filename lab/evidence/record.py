"""The record of a run: what was tried, what came of it, and why. Every report is drawn from this, so none can disagree.

It is written while the run goes (one atomic replacement per change), so that a run which is killed leaves a record
that says how far it came. Nothing here decides a verdict, and nothing here reads a cluster.

Written to ``out/<run-id>/run.json``; ``schema`` rises by one with each change that a reader must know of. Times are
UTC in RFC 3339, durations are seconds.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1


class Verdict(StrEnum):
    """What a scenario says about the product; from the best news to the worst see :data:`SEVERITY`."""

    PASSED = "passed"
    FAILED = "failed"
    """The product did not do what it must."""
    BROKEN = "broken"
    """The environment is at fault: nothing is said about the product."""
    INCONCLUSIVE = "inconclusive"
    """The observation itself did not come off."""
    SKIPPED = "skipped"
    """A need of the scenario is unmet, or the run had ended before."""


SEVERITY = (Verdict.PASSED, Verdict.SKIPPED, Verdict.INCONCLUSIVE, Verdict.BROKEN, Verdict.FAILED)


def now() -> str:
    """The present in UTC, RFC 3339 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class StepRecord:
    """One step; ``status`` is a verdict, ``running``, or ``not run`` (after a step that did not pass)."""

    keyword: str
    name: str
    status: str = "not run"
    started: str = ""
    seconds: float = 0.0
    message: str = ""
    notes: list[str] = field(default_factory=list)
    """What was waited for and observed, in order."""


@dataclass
class ScenarioRecord:
    """One scenario; ``verdict`` stays empty until it is known."""

    name: str
    feature: str
    node_id: str
    tags: list[str] = field(default_factory=list)
    verdict: str = ""
    reason: str = ""
    started: str = ""
    seconds: float = 0.0
    steps: list[StepRecord] = field(default_factory=list)
    evidence: str = ""
    """Folder with what was collected at a failure, relative to the record."""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunRecord:
    """One run. ``state`` is ``running`` until :meth:`finish`, which says ``finished`` or ``interrupted``."""

    run_id: str
    folder: Path
    started: str = field(default_factory=now)
    ended: str = ""
    state: str = "running"
    exit_code: int | None = None
    target: dict[str, Any] = field(default_factory=dict)
    broken: str = ""
    """Why the environment was given up, if it was."""
    scenarios: list[ScenarioRecord] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """What could not be undone, or was kept by wish, with the command that removes it."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of what happens outside of scenarios: lab up, clean-up."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """Where the record lies."""
        return self.folder / "run.json"

    def counts(self) -> Counter[str]:
        """Number of scenarios by verdict; those without one count as ``not run``."""
        return Counter(s.verdict or "not run" for s in self.scenarios)

    def verdict(self) -> Verdict:
        """The worst verdict of all scenarios; ``broken`` when there is none and the environment broke."""
        seen = {s.verdict for s in self.scenarios}
        if self.broken and Verdict.FAILED not in seen:
            return Verdict.BROKEN
        return next((v for v in reversed(SEVERITY) if v in seen), Verdict.SKIPPED)

    def finish(self, state: str, exit_code: int) -> None:
        """Close the record with the run's exit code."""
        self.state, self.exit_code, self.ended = state, exit_code, now()
        self.write()

    def document(self) -> dict[str, Any]:
        """The record as it is written."""
        body = {"schema": SCHEMA, "verdict": str(self.verdict()) if self.state != "running" else ""} | asdict(self)
        del body["folder"]
        return body

    def write(self) -> None:
        """Replace the file in one step; a reader sees the old or the new record, never half of one."""
        with self._lock:
            write_atomically(self.path, json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write *text* beside *path* and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path) -> RunRecord:
    """Read a record back.

    Raises:
        ValueError: the file is no record, or one of a newer schema; the message names both.
    """
    body: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if body.get("schema") != SCHEMA:
        raise ValueError(f"{path}: wanted a run record of schema {SCHEMA}, found {body.get('schema')!r}")
    rest = {k: v for k, v in body.items() if k not in {"schema", "verdict", "scenarios"}}
    scenarios = [
        ScenarioRecord(**{**s, "steps": [StepRecord(**step) for step in s["steps"]]}) for s in body["scenarios"]
    ]
    return RunRecord(folder=path.parent, scenarios=scenarios, **rest)
