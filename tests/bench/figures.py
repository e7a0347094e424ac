"""How a figure is printed: name, what was measured, its limit, their ratio, and how it was measured.

A ratio over 1 is a miss to look into, not a failed test: what a busy machine measures says little.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """``limit`` in the unit of ``measured``; None where there is none, and the figure is only looked at."""

    name: str
    measured: float
    limit: float | None
    unit: str
    how: str

    def __str__(self) -> str:
        measured = f"{self.measured:.4g} {self.unit}".strip()
        limit = "no limit" if self.limit is None else f"limit {self.limit:g} {self.unit}".strip()
        ratio = "" if self.limit is None else f"ratio {self.measured / self.limit:.2f}"
        return f"{self.name:<44} {measured:>12}  {limit:<14} {ratio:<10}  {self.how} [load {os.getloadavg()[0]:.1f}]"


def report(name: str, measured: float, limit: float | None, unit: str, how: str) -> None:
    """Print one figure."""
    print(f"\n{Figure(name, measured, limit, unit, how)}", flush=True)


def spread(values: Sequence[float], unit: str = "s") -> str:
    """All values, sorted, for a person to see how far they lie apart."""
    return "of " + ", ".join(f"{value:.3g}" for value in sorted(values)) + f" {unit}"
