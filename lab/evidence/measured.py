"""Measurements of traffic as the run's record keeps them: every number that a verdict stands on, and every answer.

The layout is documented in docs/traffic.md; a key is never given another meaning. Nothing is judged or rounded away
here but times, which have a hundredth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.core import clock
from lab.probes.clocks import Stretch
from lab.probes.series import Series, percentile
from lab.topology.traffic import Disturbance, Measurement, Traffic

PERCENTILES = (50, 90, 99, 100)


def document(traffic: Traffic) -> dict[str, Any]:
    """``details.traffic`` of a scenario."""
    return {
        "measurements": [_measurement(m) for m in traffic.measurements],
        "longest_gap_ms": _summary(traffic.measurements),
        "repeats": _repeats(traffic.measurements),
    }


def _repeats(measured: Sequence[Measurement[Disturbance]]) -> list[dict[str, Any]]:
    """The same percentiles, apart for each disturbance: those of a drain say nothing of a migration."""
    of: dict[str, list[Measurement[Disturbance]]] = {}
    for one in measured:
        of.setdefault(one.what, []).append(one)
    return [{"disturbance": what, "longest_gap_ms": _summary(same)} for what, same in of.items()]


def _summary(measured: Sequence[Measurement[Disturbance]]) -> dict[str, dict[str, float]]:
    """Percentiles of the longest gap over repeats, by what was probed."""
    gaps: dict[str, list[float]] = {}
    for one in measured:
        for series in one.series:
            gaps.setdefault(series.title, []).append(series.longest_gap_ms)
    return {
        title: {"count": len(found)} | {f"p{p}": round(percentile(found, p), 2) for p in PERCENTILES}
        for title, found in gaps.items()
    }


def _measurement(measured: Measurement[Disturbance]) -> dict[str, Any]:
    moments = measured.done.timeline.moments
    return {
        "number": measured.number,
        "disturbance": measured.what,
        "verdict": next((v for v in ("failed", "inconclusive", "passed") if v in measured.judged), ""),
        "name": measured.done.name,
        "seconds": round(measured.done.seconds, 3),
        "phases": [{"phase": name, "began": clock.stamp(at)} for name, at in moments],
        "clocks": {place: [_stretch(s) for s in found] for place, found in measured.clocks.items()},
        "nodes": {node: [_stretch(s) for s in found] for node, found in measured.nodes.items()},
        "series": [_series(measured, s) for s in measured.series],
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return {
        "from": clock.stamp(stretch.begins),
        "to": clock.stamp(stretch.ends),
        "ahead_ms": round(stretch.ahead * 1000, 2),
        "error_ms": round(stretch.error * 1000, 2),
    }


def _series(measured: Measurement[Disturbance], series: Series) -> dict[str, Any]:
    trips = [ms for _, _, ms in series.answers]
    return {
        "kind": series.kind,
        "place": series.place,
        "target": series.target,
        "interval_ms": series.interval_ms,
        "began": clock.stamp(series.began),
        "seconds": round(series.ended - series.began, 3),
        "sent": series.sent,
        "received": series.received,
        "lost": series.lost,
        "duplicates": series.duplicates,
        "reordered": series.reordered,
        "longest_gap_ms": series.longest_gap_ms,
        "gaps": [
            {
                "at_ms": round((gap.at - series.began) * 1000, 2),
                "ms": gap.ms,
                "lost": gap.lost,
                "open": gap.open,
                "phase": measured.done.timeline.during(gap.at, gap.until),
            }
            for gap in series.gaps
        ],
        "trip_ms": {f"p{p}": round(percentile(trips, p), 2) for p in PERCENTILES},
        "clock_error_ms": round(series.clock_error_ms, 2),
        "gap_error_ms": round(series.gap_error_ms, 2),
        "remarks": list(series.remarks),
        "broke": series.broke,
        "broke_at": clock.stamp(series.broke_at) if series.broke else "",
        "answers": answers(series),
    }


def answers(series: Series) -> str:
    """Every answer as ``NUMBER@MS+MS``: its number, when it came (from `began`), its trip; in the order they came."""
    return " ".join(f"{seq}@{(at - series.began) * 1000:.2f}+{ms:.2f}" for seq, at, ms in series.answers)
