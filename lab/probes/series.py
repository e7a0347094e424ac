"""What a continuous probe saw, as numbers: sent, lost, twice, out of order, and each gap with begin and end. Pure.

A gap is how long answers were overdue: the silence between two that came, less the interval at which they come when all
is well. So a cut of 100 ms reads 100 ms and not 110. Silence up to the end of the probe is a gap as well, since a place
that never answers again makes no silence between two answers. Times are seconds of the harness' clock.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

_SOME = 1000


@dataclass(frozen=True)
class Gap:
    """Answers were overdue from `at` for `ms`; `lost` probes of that time have no answer; `open` when it lasted to the
    end of the probe."""

    at: float
    ms: float
    lost: int = 0
    open: bool = False

    @property
    def until(self) -> float:
        """When the next answer came, or the probe ended."""
        return self.at + self.ms / 1000


@dataclass(frozen=True)
class Series:
    """One continuous probe. `kind` is "ping", "tcp", "udp" or "ssh"; `place` and `target` are for people; `began` and
    `ended` bound it. `gaps` are longest first and hold all over one interval. `remarks` say what must be known of the
    figures: a clock that was set, a tool that stood in for another. `broke` is why a session ended before it should."""

    kind: str
    place: str
    target: str
    interval_ms: float
    began: float
    ended: float
    sent: int
    received: int
    duplicates: int
    reordered: int
    gaps: tuple[Gap, ...]
    answers: tuple[tuple[int, float, float], ...] = ()
    """Sequence number, time and round trip in ms (0: unknown) of each answer, in the order in which they came."""
    clock_error_ms: float = 0.0
    """How far the times may be off as a whole."""
    gap_error_ms: float = 0.0
    """How far a gap may be off, in which the place's clock made a step."""
    remarks: tuple[str, ...] = ()
    broke: str = ""
    broke_at: float = 0.0

    @property
    def lost(self) -> int:
        return max(0, self.sent - self.received)

    @property
    def longest_gap_ms(self) -> float:
        return self.gaps[0].ms if self.gaps else 0.0

    def gaps_over(self, ms: float) -> tuple[Gap, ...]:
        """Gaps longer than a threshold, longest first."""
        return tuple(gap for gap in self.gaps if gap.ms > ms)

    @property
    def stamped_at(self) -> str:
        """The place whose clock the times come from: a ping's own, of a stream the one where it arrives."""
        return self.target if self.kind in ("tcp", "udp") else self.place

    @property
    def title(self) -> str:
        """`ping gateway-2024 -> vm-a`."""
        return f"{self.kind} {self.place} -> {self.target}"

    def __str__(self) -> str:
        text = (
            f"{self.title} every {self.interval_ms:g} ms for {self.ended - self.began:.1f} s: {self.sent} sent, "
            f"{self.lost} lost, longest gap {self.longest_gap_ms:.0f} ms"
        )
        if self.gaps:
            text += f" at {self.gaps[0].at - self.began:.2f} s" + (", up to the end" if self.gaps[0].open else "")
        for count, what in ((self.duplicates, "came twice"), (self.reordered, "out of order")):
            text += f", {count} {what}" if count else ""
        return text + (f"; {self.broke}" if self.broke else "")


@dataclass(frozen=True)
class Frame:
    """What a series is about besides its answers; fields as in Series. `sent` is None when nobody counted: then it
    follows from the highest sequence number and the silence after it."""

    kind: str
    place: str
    target: str
    interval_ms: float
    began: float
    ended: float
    sent: int | None = None
    first: int = 0
    """The first sequence number: 0 or 1."""
    clock_error_ms: float = 0.0
    gap_error_ms: float = 0.0
    remarks: tuple[str, ...] = ()
    broke: str = ""
    broke_at: float = 0.0


def series(frame: Frame, seqs: Sequence[int], times: Sequence[float], trips_ms: Sequence[float]) -> Series:
    """The numbers from the answers of one probe, given as columns in the order in which they came."""
    different = len(set(seqs))
    sent = frame.sent if frame.sent is not None else _guessed(frame, seqs, times)
    sent = max(_without_in_flight(frame, sent, seqs, times, trips_ms), different)
    return Series(
        kind=frame.kind,
        place=frame.place,
        target=frame.target,
        interval_ms=frame.interval_ms,
        began=frame.began,
        ended=frame.ended,
        sent=sent,
        received=different,
        duplicates=len(seqs) - different,
        reordered=_reordered(seqs),
        gaps=gaps(seqs, times, frame.interval_ms, frame.began, frame.ended),
        answers=tuple(zip(seqs, times, trips_ms, strict=True)),
        clock_error_ms=frame.clock_error_ms,
        gap_error_ms=frame.gap_error_ms,
        remarks=frame.remarks,
        broke=frame.broke,
        broke_at=frame.broke_at,
    )


def gaps(
    seqs: Sequence[int], times: Sequence[float], interval_ms: float, began: float, ended: float
) -> tuple[Gap, ...]:
    """Every silence longer than two intervals, as gaps, longest first. The probe began with an answer, by its nature:
    silence before the first one is not counted; `began` stands in when there was none at all."""
    usual = interval_ms / 1000
    even = all(map(operator.le, times, itertools.islice(times, 1, None)))
    order = range(len(times)) if even else sorted(range(len(times)), key=times.__getitem__)
    points = (times if even else [times[i] for i in order]) or [began]
    silences = map(operator.sub, itertools.islice(points, 1, None), points)
    found = [
        Gap(points[i] + usual, round((silent - usual) * 1000, 3), max(0, seqs[order[i + 1]] - seqs[order[i]] - 1))
        for i, silent in enumerate(silences)
        if silent > 2 * usual
    ]
    if ended - points[-1] > 2 * usual:
        silent = ended - points[-1] - usual
        found.append(Gap(points[-1] + usual, round(silent * 1000, 3), int(silent / usual), open=True))
    return tuple(sorted(found, key=lambda gap: -gap.ms))


def _reordered(seqs: Sequence[int]) -> int:
    """Answers that came, for the first time, after one with a higher number."""
    if all(map(operator.lt, seqs, itertools.islice(seqs, 1, None))):
        return 0
    seen: set[int] = set()
    highest, count = -1, 0
    for seq in seqs:
        count += seq < highest and seq not in seen
        highest = max(highest, seq)
        seen.add(seq)
    return count


def _guessed(frame: Frame, seqs: Sequence[int], times: Sequence[float]) -> int:
    if not seqs:
        return int((frame.ended - frame.began) * 1000 / frame.interval_ms)
    return max(seqs) - frame.first + 1 + int(max(0.0, frame.ended - max(times)) * 1000 / frame.interval_ms)


def _without_in_flight(
    frame: Frame, sent: int, seqs: Sequence[int], times: Sequence[float], trips_ms: Sequence[float]
) -> int:
    """What was on its way when the probe ended is not lost: one, and as many as fit into a usual round trip."""
    if not seqs:
        return sent
    some = sorted(trips_ms[:: max(1, len(trips_ms) // _SOME)])
    usual = some[len(some) // 2] if some else 0.0
    in_flight = sent - (max(seqs) - frame.first + 1)
    return sent - in_flight if 0 < in_flight <= 1 + int(usual / frame.interval_ms) else sent


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else 0.0
