"""A run as lines on a terminal: a line per step, one moving line for what is waited for, plain lines without a tty.

It only writes what it is told; it decides no verdict and knows neither pytest nor the cluster. Everything that may
come out of a guest or a cluster passes :func:`clean`: such text must not move the cursor or colour the screen.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Mapping
from typing import TextIO

from lab.core.errors import spelled_out
from lab.evidence.flakes import Tries
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict
from reports.words import unfinished

HEARTBEAT_S = 10.0
"""Seconds between two lines on one unchanged wait, where lines cannot be rewritten."""
PATIENCE_S = 0.4
"""A wait that is over sooner is not worth a line."""

JSON_FD = "VIRTLAB_JSON_FD"
"""Where `--json` goes: a descriptor for programs, apart from the standard output that people read."""

_COLOURS = {
    "passed": "32",
    "failed": "31;1",
    "broken": "35;1",
    "inconclusive": "33;1",
    "skipped": "36",
    "dim": "2",
    "bold": "1",
}
_MARKS = {"passed": "✓", "failed": "✗", "broken": "⚡", "inconclusive": "?", "skipped": "-"}
_ASCII_MARKS = {"passed": "+", "failed": "x", "broken": "!", "inconclusive": "?", "skipped": "-"}

NOTHING = "nothing ran: this says nothing about the cluster (the reasons: virtlab capabilities, virtlab run --plan)"


def print_json(text: str) -> None:
    """A document for the program that asked with `--json`."""
    with os.fdopen(int(os.environ[JSON_FD]), "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text + "\n")


def clean(text: str) -> str:
    """The text with every control character but newline spelled out."""
    return spelled_out(text)


class Terminal:
    """Writes to *out*; rewrites its last line only on a tty, colours only there and without ``NO_COLOR``."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] = os.environ, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._head = self._place = ""
        self._held: list[str] | None = None
        """Lines of a scenario of which nothing bad is known yet; None when they are not held back."""
        self.tty = out.isatty() and environ.get("TERM", "") != "dumb"
        self._colour = (self.tty or bool(environ.get("FORCE_COLOR"))) and not environ.get("NO_COLOR")
        unicode = (out.encoding or "ascii").lower().replace("-", "").startswith("utf")
        self._marks = _MARKS if unicode else _ASCII_MARKS
        self._dots = "…" if unicode else "..."
        self._moving = False
        self._lock = threading.RLock()

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour named by a verdict, ``dim`` or ``bold``."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour and colour in _COLOURS else text

    def line(self, text: str = "") -> None:
        """One lasting line."""
        with self._lock:
            self._erase()
            encoding = self._out.encoding or "ascii"
            self._out.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._out.flush()

    def moving(self, text: str) -> None:
        """A line which the next one replaces; nothing without a tty."""
        if not self.tty:
            return
        with self._lock:
            width = max(20, shutil.get_terminal_size().columns - 1)
            flat = clean(text).replace("\n", " ")
            self._out.write("\r\x1b[2K" + self.paint(flat[:width], "dim"))
            self._out.flush()
            self._moving = True

    def _erase(self) -> None:
        if self._moving:
            self._out.write("\r\x1b[2K")
            self._moving = False

    def scenario(self, number: int, total: int, scenario: ScenarioRecord) -> None:
        """The head of a scenario; held back with all that follows while it goes well, if it is to be quiet."""
        self._place = f"[{number:>{len(str(total))}}/{total}]"
        self._head = f"{self._place} {self.paint(clean(f'{scenario.feature}: {scenario.title}'), 'bold')}"
        if self._quiet:
            self._held = []
            self.moving(f"{self._place} {scenario.feature}: {scenario.title}")
        else:
            self.line()
            self.line(self._head)

    def _say(self, text: str) -> None:
        """A line of the scenario."""
        if self._held is None:
            self.line(text)
        else:
            self._held.append(text)

    def _tell(self) -> None:
        """From here on it is loud: what was held back comes first."""
        held, self._held = self._held, None
        if held is not None:
            self.line()
            for text in (self._head, *held):
                self.line(text)

    def step_began(self, step: StepRecord) -> None:
        """A step that runs now."""
        self.moving(f"{self._place} {self._dots} {step.keyword} {step.name}")

    def step_ended(self, step: StepRecord) -> None:
        """A step with its time, and, unless it passed, its message."""
        if step.status not in {Verdict.PASSED, Verdict.SKIPPED}:
            self._tell()
        mark = self.paint(self._marks.get(step.status, "?"), step.status)
        self._say(f"  {mark} {clean(f'{step.keyword} {step.name}'):<84} {step.seconds:6.1f}s")
        if step.message and self._held is None:
            self.block(step.message, step.status)

    def block(self, text: str, colour: str) -> None:
        """Lines of explanation, indented."""
        for row in clean(text).rstrip("\n").split("\n"):
            self.line(f"      {self.paint(row, colour)}")

    def wait(self, subject: str, text: str, elapsed: float, limit: float) -> None:
        """What is waited for: the moving line on a tty, a lasting one elsewhere."""
        span = f"{elapsed:.0f}s of {limit:.0f}s" if limit else f"{elapsed:.0f}s"
        said = clean(f"{self._dots} {subject}: {text} ({span})").replace("\n", " ")
        if self.tty:
            self.moving(f"{self._place} {said}" if self._quiet else f"    {said}")
        elif self._held is None:
            self.line(f"    {said}")
        elif elapsed >= HEARTBEAT_S:
            # Somebody may be watching a log: what takes long is told, with the scenario that it is part of.
            self.line(f"{self._place} {said}")

    def note(self, text: str) -> None:
        """A remark on the running step."""
        self._say("    " + self.paint("· " + clean(text) if self._dots == "…" else "- " + clean(text), "dim"))

    def scenario_ended(self, scenario: ScenarioRecord, *, explained: bool) -> None:
        """The verdict; the reason too, where no step has said it. One line for a quiet scenario that went well."""
        if self._held is not None and scenario.verdict in {Verdict.PASSED, Verdict.SKIPPED}:
            mark = self.paint(self._marks[scenario.verdict], scenario.verdict)
            said = f"{self._place} {mark} {clean(f'{scenario.feature}: {scenario.title}')}  {scenario.seconds:.1f}s"
            why = f"  skipped: {clean(scenario.reason)}" if scenario.verdict == Verdict.SKIPPED else ""
            self._held = None
            self.line(said + why)
            return
        self._tell()
        verdict = self.paint(scenario.verdict.upper(), scenario.verdict)
        self.line(f"  {verdict} in {scenario.seconds:.1f}s")
        if scenario.reason and not explained:
            self.block(scenario.reason, scenario.verdict)
        if scenario.evidence:
            self.line(f"      evidence: {scenario.evidence}")

    def summary(self, record: RunRecord) -> None:
        """All verdicts, the headline of whatever did not pass, the path of the record."""
        self.line()
        counts = record.counts()
        for scenario in record.scenarios:
            verdict = scenario.verdict or "not run"
            if self._quiet and verdict in {Verdict.PASSED, Verdict.SKIPPED}:
                continue
            mark = self.paint(f"{verdict:<12}", verdict)
            self.line(f"  {mark} {clean(scenario.title)}  {scenario.seconds:.1f}s")
            if said := unfinished(scenario):
                self.line(f"      {clean(said)}")
            if verdict != Verdict.PASSED and scenario.reason:
                self.block(headline(scenario.reason), verdict)
        self.line()
        for row in record.repeats():
            self.line(f"  {clean(row['feature'])}: {clean(row['name'])}: {Tries(Counter(row['verdicts']))}")
        order = [*Verdict, "not run"]
        said = ", ".join(self.paint(f"{counts[v]} {v}", str(v)) for v in order if counts[v])
        self.line(f"{len(record.scenarios)} scenarios: {said}")
        if (
            set(counts) <= {Verdict.SKIPPED, "not run"}
            and record.scenarios
            and not any(map(unfinished, record.scenarios))
        ):
            self.block(NOTHING, Verdict.BROKEN)
        if record.broken:
            self.block("the environment broke: " + headline(record.broken), Verdict.BROKEN)
        for left in record.leftovers:
            self.line(f"  left behind: {clean(left)}")
        if record.unwritten:
            self.block(f"the record could not be written: {record.unwritten}", Verdict.BROKEN)
        self.line(f"record: {record.path}")


def headline(text: str, lines: int = 4) -> str:
    """The first lines of a message that has many."""
    rows = text.strip().split("\n")
    return "\n".join(rows[:lines])
