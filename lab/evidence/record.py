"""The record of a run: what was tried, what came of it, and why. Every report is drawn from this, so none can disagree.

It is written while the run goes (one atomic replacement per change), so that a run which is killed leaves a record
that says how far it came. Nothing here decides a verdict, and nothing here reads a cluster.

Written to ``out/<run-id>/run.json`` with one scenario a line; ``schema`` rises by one with each change that a reader
must know of (docs/record.md, ``run.schema.json``). Times are UTC in RFC 3339, durations are seconds.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab.evidence.flakes import Tries

SCHEMA = 2


class Verdict(StrEnum):
    """What a scenario says about the product; from what says least to the worst see :data:`SEVERITY`."""

    PASSED = "passed"
    FAILED = "failed"
    """The product did not do what it must."""
    BROKEN = "broken"
    """The environment is at fault: nothing is said about the product."""
    INCONCLUSIVE = "inconclusive"
    """The observation itself did not come off."""
    SKIPPED = "skipped"
    """A need of the scenario is unmet, or the run had ended before."""


# A skip takes nothing from what passed: it is the run's verdict where there is no other.
SEVERITY = (Verdict.SKIPPED, Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.BROKEN, Verdict.FAILED)


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
    """One scenario; ``verdict`` stays empty until it is known, ``ended`` until nothing of it changes any more."""

    name: str
    feature: str
    node_id: str
    tags: list[str] = field(default_factory=list)
    verdict: str = ""
    reason: str = ""
    advice: str = ""
    """The first lead: what to try, as the error that ended it says."""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    steps: list[StepRecord] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    """What was measured (:mod:`lab.core.facts`), each with its ``sort``, its ``step`` (index, -1: none) and ``at``."""
    picture: str = ""
    """Which of the run's pictures shows the network as it was."""
    evidence: str = ""
    """Folder with what was collected at a failure, relative to the record."""
    evidence_files: list[str] = field(default_factory=list)
    """What was collected, relative to that folder."""
    evidence_missing: list[str] = field(default_factory=list)
    """What could not be collected, and why."""
    details: dict[str, Any] = field(default_factory=dict)
    repeat: int = 0
    """Which of `--repeat` times this is, from 1 on; 0 for a scenario that is not repeated."""

    @property
    def title(self) -> str:
        """Its name, told apart from its repeats."""
        return f"{self.name} (repeat {self.repeat})" if self.repeat else self.name


@dataclass
class RunRecord:
    """One run. ``state`` is ``running`` until :meth:`finish`, which says ``finished`` or ``interrupted``."""

    run_id: str
    folder: Path
    started: str = field(default_factory=now)
    ended: str = ""
    written: str = ""
    """When the record was last written: how far a run that was killed came."""
    state: str = "running"
    exit_code: int | None = None
    process: dict[str, Any] = field(default_factory=lambda: {"pid": os.getpid(), "host": socket.gethostname()})
    arguments: list[str] = field(default_factory=list)
    target: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    """Of everything that took part, by name."""
    broken: str = ""
    """Why the environment was given up, if it was."""
    leftovers: list[str] = field(default_factory=list)
    """What could not be undone, or was kept by wish, with the command that removes it."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of what happens outside of scenarios: lab up, clean-up; and of keeping the record."""
    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The network as it was found, by name (:mod:`lab.evidence.picture`)."""
    scenarios: list[ScenarioRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[int, str] = {}
        self._pictures: dict[int, str] = {}
        self.spent = 0.0
        """Seconds that writing took so far; part of ``phases`` at the end."""
        self.unwritten = ""
        """Why the last attempt to write failed; empty when it did not."""

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
        self.phases["record"] = round(self.spent, 3)
        self._lines.clear()
        self._pictures.clear()
        self.write()

    def document(self) -> dict[str, Any]:
        """The record as it is written."""
        return self._head() | {"scenarios": [asdict(s) for s in self.scenarios]}

    def _head(self) -> dict[str, Any]:
        verdict = str(self.verdict()) if self.state != "running" else ""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"folder", "scenarios"}}
        return {"schema": SCHEMA, "verdict": verdict} | own | {"repeats": self.repeats()}

    def repeats(self) -> list[dict[str, Any]]:
        """Of what is repeated, a scenario or a disturbance: its verdicts, and the share that failed if some passed."""
        found: dict[tuple[str, str], list[str]] = {}
        for scenario in self.scenarios:
            if scenario.repeat:
                found.setdefault((scenario.feature, scenario.name), []).append(scenario.verdict)
            for what, verdicts in _judged(scenario).items():
                found[scenario.feature, f"{scenario.name}, {what}"] = verdicts
        tries = {key: Tries.of(verdicts) for key, verdicts in found.items()}
        return [
            {"feature": f, "name": n, "verdicts": dict(t.counts), "flake_rate": round(t.flake_rate, 4)}
            for (f, n), t in tries.items()
        ]

    def write(self) -> None:
        """Replace the file in one step; a reader sees the old or the new record, never half of one.

        A disk that takes nothing ends no run: ``unwritten`` says why.
        """
        began = time.monotonic()
        with self._lock:
            self.written = now()
            try:
                write_atomically(self.path, self._text())
                self.unwritten = ""
            except OSError as error:
                self.unwritten = f"{self.path}: {error.strerror or error}"
            self.spent += time.monotonic() - began

    def _text(self) -> str:
        """One key a line, the scenarios last, one a line: what is left of a file that was cut off can be read."""
        drawn = ", ".join(f"{_json(name)}: {self._picture(taken)}" for name, taken in self.pictures.items())
        head = [
            f"{_json(key)}: {f'{{{drawn}}}' if key == 'pictures' else _json(value)}"
            for key, value in self._head().items()
        ]
        lines = [self._line(s) for s in self.scenarios]
        return "{" + ",\n ".join(head) + ',\n "scenarios": [\n' + ",\n".join(lines) + "\n]}\n"

    def _picture(self, taken: dict[str, Any]) -> str:
        """Put into words once: none is changed after it was taken."""
        if id(taken) not in self._pictures:
            self._pictures[id(taken)] = _json(taken)
        return self._pictures[id(taken)]

    def _line(self, scenario: ScenarioRecord) -> str:
        """Those that have ended are not put into words again."""
        key = id(scenario)
        if not scenario.ended:
            return _json(asdict(scenario))
        if key not in self._lines:
            self._lines[key] = _json(asdict(scenario))
        return self._lines[key]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write *text* beside *path* and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace"))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise


def _judged(scenario: ScenarioRecord) -> dict[str, list[str]]:
    """The verdicts on each disturbance that was made more than once; none where nothing was judged."""
    found: dict[str, list[str]] = {}
    for one in scenario.details.get("traffic", {}).get("measurements", ()):
        found.setdefault(one.get("disturbance", ""), []).append(one.get("verdict", ""))
    return {what: verdicts for what, verdicts in found.items() if len(verdicts) > 1 and any(verdicts)}
