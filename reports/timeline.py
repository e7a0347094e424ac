"""A migration as a picture: its phases on one line, under it what each continuous probe saw, on the same clock.

It draws moments as the record has them; a migration without phases or probes is drawn with what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from reports import svg

WIDTH, LEFT, RIGHT = 900, 216, 12
LANE, PROBE = 30, 58
MOST = 6
"""Probes in one picture."""
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class Scale:
    """Seconds to pixels."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, max(last, first + 0.1)

    def __call__(self, second: float) -> float:
        share = (min(max(second, self.first), self.last) - self.first) / (self.last - self.first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def draw(fact: Mapping[str, Any]) -> Markup:
    """The timeline of a fact of the sort ``migration``."""
    probes = list(fact.get("probes") or ())[:MOST]
    seconds = float(fact["seconds"])
    scale = Scale(
        min([0.0, *(float(p["began_s"]) for p in probes)]), max([seconds, *(float(p["ended_s"]) for p in probes)])
    )
    height = 44 + LANE + len(probes) * PROBE + 8
    parts = [*_axis(scale, height), *_phases(fact, scale, seconds)]
    for index, probe in enumerate(probes):
        parts += _probe(probe, scale, 44 + LANE + 12 + index * PROBE)
    label = f"Migration of {fact['vm']} from {fact['source']} to {fact['target']} in {seconds:.1f} s"
    worst = max((s["ms"] for p in probes for s in p.get("silences") or ()), default=0)
    return svg.drawing(WIDTH, height, f"{label}; longest silence {worst:.0f} ms", parts, "timeline")


def _axis(scale: Scale, height: float) -> list[Markup]:
    span = scale.last - scale.first
    step = next((s for s in STEPS if span / s <= 9), 1200)
    parts, at = [], step * -(-scale.first // step)
    while at <= scale.last + 1e-9:
        x = scale(at)
        parts += [
            svg.line([(x, 24), (x, height - 4)], "grid"),
            svg.text(x, 16, f"{at:g} s" if abs(at) > 1e-9 else "0", "small dim"),
        ]
        at = round(at + step, 6)
    return parts


def _phases(fact: Mapping[str, Any], scale: Scale, seconds: float) -> list[Markup]:
    y = 32
    parts = [svg.text(LEFT - 8, y + 18, f"{fact['source']} → {fact['target']}", "small", "end", LEFT - 12)]
    phases = [(str(p["name"]), float(p["at_s"])) for p in fact.get("phases") or ()]
    if not phases:
        phases = [("migration", 0.0), ("done", seconds)]
    for index, ((name, began), (_, ended)) in enumerate(pairwise(phases)):
        x, width = scale(began), max(1.5, scale(ended) - scale(began))
        parts.append(
            svg.element(
                "g",
                svg.element("title", f"{name}: {began:.2f} to {ended:.2f} s"),
                svg.rect(x, y, width, LANE - 4, f"phase p{index % 4}", 3),
            )
        )
        if width > svg.NARROW * min(len(name), 5) + 8:
            parts.append(svg.text(x + width / 2, y + 17, name, "small", width=width - 4))
    name, at = phases[-1]
    bad = bool(fact.get("failed")) or name == "Failed"
    parts.append(svg.line([(scale(at), y - 4), (scale(at), y + LANE)], "end bad" if bad else "end"))
    return parts


def _probe(probe: Mapping[str, Any], scale: Scale, y: float) -> list[Markup]:
    """Round trips as a line, lost packets as ticks, silences as bars with their length."""
    sent, received = int(probe["sent"]), int(probe["received"])
    parts = [
        svg.text(LEFT - 8, y + 14, str(probe["title"]), "small", "end", LEFT - 12),
        svg.text(LEFT - 8, y + 30, f"{sent} sent, {sent - received} lost", "small dim", "end", LEFT - 12),
        svg.rect(scale(float(probe["began_s"])), y, scale(float(probe["ended_s"])) - scale(float(probe["began_s"])),
                 PROBE - 16, "lane", 3),
    ]  # fmt: skip
    parts += _samples(probe.get("samples") or (), scale, y)
    limit = float(probe.get("limit_ms") or 0)
    for silence in probe.get("silences") or ():
        began, ms = float(silence["at_s"]), float(silence["ms"])
        x, width = scale(began), max(2.0, scale(began + ms / 1000) - scale(began))
        bad = bool(silence.get("open")) or (limit > 0 and ms > limit)
        parts.append(
            svg.element(
                "g",
                svg.element("title", f"no answer for {ms:.0f} ms from {began:.2f} s on"),
                svg.rect(x, y, width, PROBE - 16, "silence bad" if bad else "silence", 2),
            )
        )
    longest = max(probe.get("silences") or (), key=lambda s: float(s["ms"]), default=None)
    if longest is not None:
        x, said = scale(float(longest["at_s"]) + float(longest["ms"]) / 1000) + 4, f"{float(longest['ms']):.0f} ms"
        end = x + len(said) * svg.NARROW > WIDTH - RIGHT
        parts.append(svg.text(scale(float(longest["at_s"])) - 4 if end else x, y + 14, said, "strong small halo",
                              "end" if end else "start"))  # fmt: skip
    return parts


def _samples(samples: Sequence[Sequence[float]], scale: Scale, y: float) -> list[Markup]:
    """Round trips, the slowest at the top of the lane; broken where packets were lost."""
    answered = [s for s in samples if s[1] >= 0]
    top = max((s[1] for s in answered), default=1) or 1
    base, height = y + PROBE - 20, PROBE - 26
    parts, run = [], list[tuple[float, float]]()
    for second, trip in samples:
        if trip < 0:
            parts += [svg.line(run, "trips")] if len(run) > 1 else []
            run = []
            continue
        run.append((scale(second), base - height * min(1.0, trip / top)))
    parts += [svg.line(run, "trips")] if len(run) > 1 else []
    return parts
