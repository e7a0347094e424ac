"""Did a distribution shift? The rank-sum test of Mann and Whitney, and by how much (Hodges and Lehmann). Pure.

Silences of migrations are few, skewed and have outliers: means and t-tests would say what one slow migration wants.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

EXACT = 20
"""Values on a side up to which the distribution is counted out, where there are no ties."""
FEWEST = 4
"""Below that on either side no p under 0.05 can come out (3 and 3: 0.1)."""


@dataclass(frozen=True)
class Shift:
    """From *before* to *after*: medians, their typical difference (of all pairs), and how likely it is by chance."""

    before: float
    after: float
    by: float
    p: float | None
    """Two-sided; None with too few values on a side."""
    counts: tuple[int, int]

    def __str__(self) -> str:
        """``180 -> 210 ms (+30 ms, p = 0.012, n = 10 and 10)``."""
        chance = "too few to tell" if self.p is None else f"p = {self.p:.3f}"
        counts = f"n = {self.counts[0]} and {self.counts[1]}"
        return f"{self.before:.0f} -> {self.after:.0f} ms ({self.by:+.0f} ms, {chance}, {counts})"


def shift(before: Sequence[float], after: Sequence[float]) -> Shift | None:
    """None when a side has no value."""
    if not before or not after:
        return None
    by = median(b - a for a in before for b in after)
    p = rank_sum(before, after) if min(len(before), len(after)) >= FEWEST else None
    return Shift(median(before), median(after), by, p, (len(before), len(after)))


def rank_sum(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of Mann and Whitney's U: exact for few values without ties, else normal with both corrections."""
    n, m = len(first), len(second)
    u = sum((a > b) + 0.5 * (a == b) for a in first for b in second)
    ties = [count for count in Counter([*first, *second]).values() if count > 1]
    if not ties and max(n, m) <= EXACT:
        low = min(u, n * m - u)
        total = math.comb(n + m, n)
        return min(1.0, 2 * sum(_ways(n, m, k) for k in range(int(low) + 1)) / total)
    size = n + m
    spread = n * m / 12 * (size + 1 - sum(t**3 - t for t in ties) / (size * (size - 1)))
    if spread <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2))


@cache
def _ways(n: int, m: int, u: int) -> int:
    """In how many orders of n and m values U comes to u."""
    if u < 0:
        return 0
    if n == 0 or m == 0:
        return int(u == 0)
    return _ways(n - 1, m, u - m) + _ways(n, m - 1, u)
