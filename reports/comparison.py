"""Two sides of runs held against each other: what fails anew, what was fixed, what flakes, what got slower, how
silences shifted, which versions differ. Pure; it decides what a release gate may pass and draws nothing.

A side is one run or several (nightly runs of one version): a scenario then has several verdicts, and flakes when it
both passed and failed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from lab.evidence.flakes import Tries
from lab.evidence.record import RunRecord, ScenarioRecord, Verdict
from reports import traffic
from reports.stats import Shift, shift
from reports.words import story, verdict_of

SLOWER, SLOWER_S = 1.5, 5.0
"""A scenario got slower when it takes so many times as long, and so many seconds longer."""
CHANCE = 0.05
NOTABLE_MS = 15.0
"""A shift that is smaller lies within what a probe can tell."""
REGRESSED, UNSEEN = 1, 3
"""Exit codes: something got worse; nothing did, but something that passed before was not seen now."""
LISTS = (
    ("fails anew", "failing"),
    ("not seen any more", "unseen"),
    ("fails as before", "still"),
    ("fixed", "fixed"),
    ("flaky", "flaky"),
    ("slower", "slower"),
    ("new", "added"),
)
"""How each list of a Comparison is called, the worst first."""


@dataclass(frozen=True)
class Pair:
    """One scenario on both sides; the verdicts of each side in the order of its runs, empty where it is not."""

    key: str
    name: str
    feature: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    seconds: tuple[float, float] = (0.0, 0.0)
    """Medians."""
    reason: str = ""


@dataclass(frozen=True)
class Silences:
    """One probe on both sides, by its title and scenario."""

    scenario: str
    title: str
    shift: Shift

    @property
    def verdict(self) -> str:
        """``longer``, ``shorter``, ``alike``, or ``too few``."""
        if self.shift.p is None:
            return "too few"
        if self.shift.p >= CHANCE or abs(self.shift.by) < NOTABLE_MS:
            return "alike"
        return "longer" if self.shift.by > 0 else "shorter"


@dataclass
class Comparison:
    """What became of it. Lists are in the order of the features."""

    before: Sequence[RunRecord]
    after: Sequence[RunRecord]
    failing: list[Pair] = field(default_factory=list)
    """Failed now, and not before."""
    fixed: list[Pair] = field(default_factory=list)
    still: list[Pair] = field(default_factory=list)
    unseen: list[Pair] = field(default_factory=list)
    """Passed before; now broken, inconclusive, skipped, or not there."""
    added: list[Pair] = field(default_factory=list)
    flaky: list[Pair] = field(default_factory=list)
    slower: list[Pair] = field(default_factory=list)
    silences: list[Silences] = field(default_factory=list)
    versions: list[tuple[str, str, str]] = field(default_factory=list)
    passed: int = 0
    """Scenarios that passed on both sides."""

    @property
    def longer(self) -> list[Silences]:
        """Silences that got longer, and not by chance."""
        return [s for s in self.silences if s.verdict == "longer"]

    @property
    def exit_code(self) -> int:
        """0: no worse than before."""
        if self.failing or self.longer:
            return REGRESSED
        return UNSEEN if self.unseen else 0

    @property
    def sentence(self) -> str:
        """The result in words."""
        said = []
        if self.failing:
            said.append(f"{len(self.failing)} {'scenario fails' if len(self.failing) == 1 else 'scenarios fail'} anew")
        if self.longer:
            said.append(f"{len(self.longer)} {'silence is' if len(self.longer) == 1 else 'silences are'} longer")
        if said:
            return f"Worse: {' and '.join(said)}."
        if self.unseen:
            were = "was" if len(self.unseen) == 1 else "were"
            return f"Not known: {len(self.unseen)} that passed before {were} not seen now."
        return "No worse than before." + (f" {len(self.fixed)} fixed." if self.fixed else "")


def compare(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> Comparison:
    """Hold one side against the other."""
    found = Comparison(before, after)
    first, second = _by_key(before), _by_key(after)
    for key in dict.fromkeys([*first, *second]):
        _sort(found, _pair(key, first.get(key, []), second.get(key, [])))
    found.silences = _silences(before, after)
    found.versions = _versions(before, after)
    return found


def key_of(scenario: ScenarioRecord) -> str:
    """What makes it the same scenario in another run."""
    return f"{scenario.feature}: {scenario.name}"


def _by_key(runs: Sequence[RunRecord]) -> dict[str, list[ScenarioRecord]]:
    found: dict[str, list[ScenarioRecord]] = {}
    for run in runs:
        for scenario in run.scenarios:
            found.setdefault(key_of(scenario), []).append(scenario)
    return found


def _pair(key: str, before: Sequence[ScenarioRecord], after: Sequence[ScenarioRecord]) -> Pair:
    one = (after or before)[-1]
    bad = [story(s).cause for s in after if s.verdict not in {Verdict.PASSED, ""}]
    return Pair(
        key, one.name, one.feature, tuple(map(verdict_of, before)), tuple(map(verdict_of, after)),
        (_median(before), _median(after)), bad[-1] if bad else "",
    )  # fmt: skip


def _median(scenarios: Sequence[ScenarioRecord]) -> float:
    passed = [s.seconds for s in scenarios if s.verdict == Verdict.PASSED]
    return median(passed) if passed else 0.0


def _sort(found: Comparison, pair: Pair) -> None:
    """Into the one list that says what became of it, and into those that say something besides."""
    failed, passed = Verdict.FAILED, Verdict.PASSED
    if not pair.before:
        (found.failing if failed in pair.after else found.added).append(pair)
        return
    if failed in pair.after:
        (found.still if failed in pair.before else found.failing).append(pair)
    elif passed not in pair.after:
        if passed in pair.before:
            found.unseen.append(pair)
    elif failed in pair.before:
        found.fixed.append(pair)
    elif passed in pair.before:
        found.passed += 1
    if any(Tries.of(side).flaky for side in (pair.before, pair.after)):
        found.flaky.append(pair)
    before, after = pair.seconds
    if before and after > before * SLOWER and after - before > SLOWER_S:
        found.slower.append(pair)


def _silences(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> list[Silences]:
    first, second = _longest(before), _longest(after)
    found = []
    for key in first:
        made = shift(first[key], second.get(key, ()))
        if made is not None:
            found.append(Silences(*key, made))
    return found


def _longest(runs: Sequence[RunRecord]) -> dict[tuple[str, str], list[float]]:
    """(scenario, probe and disturbance) -> the longest silence of each time it was measured, in ms."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for scenario in run.scenarios:
            for move in traffic.moves(scenario):
                for probe in move.probes:
                    title = f"{probe.title}, {move.disturbance}" if move.disturbance else probe.title
                    found.setdefault((key_of(scenario), title), []).append(probe.longest_ms)
    return found


def _versions(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys(name for run in (*before, *after) for name in run.versions)
    rows = [(name, _all(before, name), _all(after, name)) for name in names]
    return [row for row in rows if row[1] != row[2]]


def _all(runs: Sequence[RunRecord], name: str) -> str:
    return ", ".join(dict.fromkeys(run.versions.get(name, "-") for run in runs))


def rate(verdicts: Sequence[str]) -> str:
    """``3 of 5 passed, flaky: 40 % failed``; a single verdict as itself."""
    if not verdicts:
        return "not there"
    if len(verdicts) == 1:
        return verdicts[0]
    return str(Tries.of(verdicts))
