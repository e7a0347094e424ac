"""How often a scenario that was tried several times passed. One counting for the record, history and comparison.

A run that was skipped or never began says nothing and is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

UNTRIED = frozenset({"skipped", "not run", ""})


@dataclass(frozen=True)
class Tries:
    """The verdicts of one scenario, with how often each came."""

    counts: Counter[str]

    @classmethod
    def of(cls, verdicts: Iterable[str]) -> Tries:
        """Of verdicts as the record has them."""
        return cls(Counter(v for v in verdicts if v not in UNTRIED))

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def passed(self) -> int:
        return self.counts["passed"]

    @property
    def flaky(self) -> bool:
        """It passed and failed; breaking or not being observed in between is no flake of the product."""
        return bool(self.passed and self.counts["failed"])

    @property
    def flake_rate(self) -> float:
        """The share of tries that failed, of those that passed or failed; 0.0 unless it did both."""
        return self.counts["failed"] / (self.passed + self.counts["failed"]) if self.flaky else 0.0

    def __str__(self) -> str:
        """``2 of 3 passed, flaky: 33 % failed``."""
        if not self.total:
            return "never ran"
        said = f"{self.passed} of {self.total} passed"
        return f"{said}, flaky: {100 * self.flake_rate:.0f} % failed" if self.flaky else said
