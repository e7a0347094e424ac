"""Migrations and what traffic did meanwhile, as a drawing needs them: on one clock, in seconds since the request.

Two places of the record say it: facts of the sort ``migration`` (any migration), and ``details.traffic`` of a scenario
(docs/traffic.md: those that were measured, with every answer). They are put together by the migration's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lab.evidence.record import ScenarioRecord

POINTS = 120
"""Points of one line; of answers that fall together, the slowest is drawn."""
_ANSWER = re.compile(r"(\d+)@(-?[\d.]+)\+([\d.]+)")


@dataclass(frozen=True)
class Silence:
    """No answer from `at_s` on for `ms`; `open`: up to the probe's end."""

    at_s: float
    ms: float
    lost: int = 0
    open: bool = False
    phase: str = ""


@dataclass(frozen=True)
class Probe:
    """One continuous probe; `samples` are (second, round trip in ms)."""

    title: str
    began_s: float
    ended_s: float
    sent: int
    received: int
    silences: Sequence[Silence] = ()
    samples: Sequence[tuple[float, float]] = ()
    remarks: Sequence[str] = ()
    interval_ms: float = 0.0

    @property
    def longest_ms(self) -> float:
        """Its longest silence."""
        return max((s.ms for s in self.silences), default=0.0)


@dataclass(frozen=True)
class Move:
    """One migration, or another disturbance that was measured."""

    name: str
    vm: str
    way: str
    seconds: float
    phases: Sequence[tuple[str, float]] = ()
    probes: Sequence[Probe] = ()
    failed: str = ""
    disturbance: str = ""
    """What was done, in words: the same for its repeats."""

    @property
    def longest_ms(self) -> float:
        """The longest silence of any probe."""
        return max((p.longest_ms for p in self.probes), default=0.0)


def moves(scenario: ScenarioRecord) -> list[Move]:
    """In the order in which they were told."""
    found = [_told(f) for f in scenario.facts if f.get("sort") == "migration"]
    for measured in _measurements(scenario):
        seen = _measured(measured)
        index = next((i for i, m in enumerate(found) if m.name and m.name == seen.name and not m.probes), None)
        if index is None:
            found.append(seen)
        else:
            found[index] = replace(seen, vm=found[index].vm, way=found[index].way)
    return found


def _told(fact: Mapping[str, Any]) -> Move:
    way = f"{fact['source']} → {fact['target'] or 'another worker'}"
    phases = [(str(p["name"]), float(p["at_s"])) for p in fact.get("phases") or ()]
    return Move(
        str(fact.get("name", "")), str(fact["vm"]), way, float(fact["seconds"]), phases, (), str(fact.get("failed", ""))
    )


def _measurements(scenario: ScenarioRecord) -> Sequence[Mapping[str, Any]]:
    traffic = scenario.details.get("traffic")
    found = traffic.get("measurements") if isinstance(traffic, dict) else None
    return [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []


def _measured(document: Mapping[str, Any]) -> Move:
    """One of ``details.traffic.measurements``."""
    moments = [(str(p.get("phase", "")), _second(p.get("began"))) for p in document.get("phases") or ()]
    series = [s for s in document.get("series") or () if isinstance(s, dict)]
    base = moments[0][1] if moments else min((_second(s.get("began")) for s in series), default=0.0)
    name = str(document.get("name", ""))
    return Move(
        name=name,
        vm=name,
        way=str(document.get("disturbance") or (f"disturbance {document['number']}" if document.get("number") else "")),
        seconds=float(document.get("seconds") or 0),
        phases=[(phase, at - base) for phase, at in moments],
        probes=[_probe(s, base) for s in series],
        disturbance=str(document.get("disturbance", "")),
    )


def _second(stamp: object) -> float:
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return 0.0


def _probe(series: Mapping[str, Any], base: float) -> Probe:
    began = _second(series.get("began")) - base
    remarks = [str(r) for r in series.get("remarks") or ()]
    remarks += [f"it broke: {series['broke']}"] if series.get("broke") else []
    return Probe(
        title=f"{series.get('kind', 'probe')} {series.get('place', '?')} → {series.get('target', '?')}",
        began_s=began,
        ended_s=began + float(series.get("seconds") or 0),
        sent=int(series.get("sent") or 0),
        received=int(series.get("received") or 0),
        silences=[
            Silence(
                began + float(gap["at_ms"]) / 1000, float(gap["ms"]), int(gap.get("lost") or 0), bool(gap.get("open")),
                str(gap.get("phase", "")),
            )
            for gap in series.get("gaps") or ()
        ],
        samples=thinned([(began + float(ms) / 1000, float(trip)) for _, ms, trip in _answers(series)]),
        remarks=remarks,
        interval_ms=float(series.get("interval_ms") or 0),
    )  # fmt: skip


def _answers(series: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    return _ANSWER.findall(str(series.get("answers", "")))


def thinned(samples: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most :data:`POINTS` of them: the slowest of each stretch of time."""
    ordered = sorted(samples)
    if len(ordered) <= POINTS:
        return ordered
    first, last = ordered[0][0], ordered[-1][0]
    width = (last - first) / POINTS or 1.0
    worst: dict[int, tuple[float, float]] = {}
    for sample in ordered:
        key = int((sample[0] - first) / width)
        if key not in worst or sample[1] > worst[key][1]:
            worst[key] = sample
    return list(worst.values())
