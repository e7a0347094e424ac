"""Clocks held against each other: what a place's clock shows, in terms of the harness' own, and how sure that is. Pure.

A guest's clock stands still while the guest is paused, so a log with its stamps has no trace of the pause; and any
clock may be set. Both are steps between two stretches in which it runs evenly. A reading says where the two clocks were
against each other, give or take half of the time that the question took; those of one stretch narrow each other down.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

UPTIME_ERROR_S = 0.011
"""/proc/uptime counts in hundredths of a second."""
MIN_STEP_S = 0.002
LIKELY = 0.5
"""A place for a step is almost as likely as the best when it is at least half as silent."""
NOTEWORTHY_S = 0.005


@dataclass(frozen=True)
class Reading:
    """One question: asked at `asked`, answered by `answered` (harness' clock); the place's clock showed `shown`, its
    uptime `up` (None: it has no such thing)."""

    asked: float
    answered: float
    shown: float
    up: float | None = None

    @property
    def least(self) -> float:
        """The least that the place's clock can be ahead by."""
        return self.shown - self.answered

    @property
    def most(self) -> float:
        """The most that it can be ahead by."""
        return self.shown - self.asked


@dataclass(frozen=True)
class Stretch:
    """From `begins` to `ends` (harness' clock, the first and the last reading in it) the place's clock was ahead by
    `ahead` seconds, give or take `error`; `up_ahead` is the same of its uptime (None: not known)."""

    begins: float
    ends: float
    ahead: float
    error: float
    up_ahead: float | None = None
    up_error: float = 0.0


@dataclass(frozen=True)
class Step:
    """Between two stretches, from `after` to `before`, the clock lost `lost_s` (negative: it gained), give or take
    `error`. `stood_still` says that its uptime lost the same: the place itself was paused. Else it was set."""

    after: float
    before: float
    lost_s: float
    error: float
    stood_still: bool

    @property
    def noteworthy(self) -> bool:
        """Whether it is more than two clocks drifting apart."""
        return abs(self.lost_s) > max(self.error, NOTEWORTHY_S)

    def __str__(self) -> str:
        if self.stood_still:
            return f"clock stood still for {self.lost_s * 1000:.0f} ms (± {self.error * 1000:.0f})"
        way = "back" if self.lost_s > 0 else "forward"
        return f"clock was set {way} by {abs(self.lost_s) * 1000:.0f} ms (± {self.error * 1000:.0f})"


def stretches(readings: Sequence[Reading]) -> tuple[Stretch, ...]:
    """The readings as stretches in which the clock ran evenly: one ends where no offset fits all of its readings."""
    groups: list[list[Reading]] = []
    for reading in sorted(readings, key=lambda r: r.asked):
        if not groups or not _fit([*groups[-1], reading]):
            groups.append([])
        groups[-1].append(reading)
    for one, following in itertools.pairwise(groups):
        # A question that was under way while the clock made its step fits either side: it says nothing of when.
        while len(one) > 1 and _fit([one[-1], *following]):
            one.pop()
    return tuple(_stretch(group) for group in groups)


def _fit(group: Sequence[Reading]) -> bool:
    return max(r.least for r in group) <= min(r.most for r in group) + MIN_STEP_S


def _stretch(group: Sequence[Reading]) -> Stretch:
    least, most = max(r.least for r in group), min(r.most for r in group)
    ahead = (least + most) / 2
    ups = [r for r in group if r.up is not None]
    up_least = max((r.up - r.answered for r in ups if r.up is not None), default=None)
    up_most = min((r.up + UPTIME_ERROR_S - r.asked for r in ups if r.up is not None), default=None)
    up = None if up_least is None or up_most is None else (up_least + up_most) / 2
    return Stretch(
        begins=group[0].shown - ahead,
        ends=group[-1].shown - ahead,
        ahead=ahead,
        error=max((most - least) / 2, MIN_STEP_S / 2),
        up_ahead=up,
        up_error=0.0 if up_least is None or up_most is None else abs(up_most - up_least) / 2,
    )


def unseen_s(readings: Sequence[Reading], after: float, until: float) -> float:
    """How much a clock may have lost by *after* that is not among the steps: what its readings from then on allow,
    up to *until* where there are none. In a stretch that began later the loss was seen, and little is left."""
    found = stretches(readings)
    late = [r for r in readings if r.asked >= after]
    if not found or not late:
        return max(0.0, until - (found[-1].ends if found else after))
    return max(0.0, found[-1].ahead - max(r.least for r in late))


def steps(found: Sequence[Stretch]) -> tuple[Step, ...]:
    """What happened between stretches."""
    return tuple(_step(a, b) for a, b in itertools.pairwise(found))


def _step(a: Stretch, b: Stretch) -> Step:
    lost, error = a.ahead - b.ahead, a.error + b.error
    still = False
    if a.up_ahead is not None and b.up_ahead is not None and lost > 0:
        still = abs((a.up_ahead - b.up_ahead) - lost) <= error + a.up_error + b.up_error + UPTIME_ERROR_S
    return Step(a.ends, b.begins, lost, error, still)


@dataclass(frozen=True)
class Translation:
    """Stamps in terms of the harness' clock. `error_ms` bounds what is wrong with each; what lies between two is
    exact but where the clock made a step: then `step_error_ms` bounds it. `remarks` say what the clock did."""

    times: list[float]
    error_ms: float
    step_error_ms: float
    remarks: tuple[str, ...]


def translate(stamps: Sequence[float], found: Sequence[Stretch], numbers: Sequence[int] = ()) -> Translation:
    """Stamps of a place's clock, in the order in which they were made, as times of the harness.

    Where a step lies among the stamps is known up to the readings around it; within those the stamps tell. A place that
    was paused missed answers, so the pause is where most of their `numbers` are missing, and with equal ones where the
    stamps are farthest apart; a clock that was set is where they jump by that much.

    Raises ValueError without a single stretch.
    """
    if not found:
        raise ValueError("no reading of the clock")
    times: list[float] = []
    start, error, said = 0, 0.0, []
    for a, b, step in zip(found, found[1:], steps(found), strict=False):
        cut, unsure = _cut(stamps, numbers, start, a, b, step)
        times += [stamp - a.ahead for stamp in stamps[start:cut]]
        start = cut
        if step.noteworthy:
            said.append(str(step))
            error = max(error, step.error + unsure)
    times += [stamp - found[-1].ahead for stamp in stamps[start:]]
    return Translation(times, max(s.error for s in found) * 1000, error * 1000, tuple(said))


def _cut(
    stamps: Sequence[float], numbers: Sequence[int], start: int, a: Stretch, b: Stretch, step: Step
) -> tuple[int, float]:
    """The index of the first stamp made after the step; and by how much the longest silence would be another one, were
    the step at a place that is almost as likely."""
    low = start
    while low < len(stamps) and stamps[low] - a.ahead <= a.ends:
        if low > start and stamps[low] < stamps[low - 1] - MIN_STEP_S:
            # Set back by more than lies between two readings: what follows looks as if it were from before.
            break
        low += 1
    high = low
    while high < len(stamps) and stamps[high] - b.ahead < b.begins:
        high += 1
    # Stamps low..high-1 were made between the two readings: the step is before one of them, or after the last.
    places = [i for i in range(low, high + 1) if start < i < len(stamps)]
    if not places:
        return low, 0.0
    apart = {i: stamps[i] - stamps[i - 1] for i in places}
    if not step.stood_still:
        return min(places, key=lambda i: abs(apart[i] + step.lost_s)), 0.0
    missing = {i: numbers[i] - numbers[i - 1] for i in places} if numbers else dict.fromkeys(places, 1)
    best = max(places, key=lambda i: (missing[i], apart[i]))
    longest = max(apart.values())

    def silence(i: int) -> float:
        return max(apart[i] + step.lost_s, longest)

    likely = [i for i in places if apart[i] >= apart[best] * LIKELY or missing[i] > missing[best] * LIKELY]
    return best, max(abs(silence(i) - silence(best)) for i in likely)
