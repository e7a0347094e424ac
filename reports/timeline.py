"""A migration as a picture: its phases on one line, under it what each continuous probe saw, on the same clock.

It draws moments as the record has them; a migration without phases or probes is drawn with what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from reports import svg
from reports.traffic import Move, Probe, Silence

WIDTH, LEFT, RIGHT = 900, 216, 12
LANE, PROBE = 30, 58
SEEN = 3.0
"""Pixels from which on a silence is drawn as long as it was. On a busy machine most answers are late, so that bars for
all of them would hide the one that matters: the others are ticks below the lane."""
BARS = 8
"""Silences of one probe that are drawn as bars, the longest first."""
TICK = 2
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


def draw(move: Move, limit_ms: float = 0.0) -> Markup:
    """The timeline; silences over *limit_ms* (0: none is) stand out."""
    probes = list(move.probes)[:MOST]
    scale = Scale(min([0.0, *(p.began_s for p in probes)]), max([move.seconds, *(p.ended_s for p in probes)]))
    height = 44 + LANE + len(probes) * PROBE + 8
    parts = [*_axis(scale, height), *_phases(move, scale)]
    for index, probe in enumerate(probes):
        parts += _probe(probe, scale, 44 + LANE + 12 + index * PROBE, limit_ms)
    label = f"{move.vm}, {move.way}, in {move.seconds:.1f} s; longest silence {move.longest_ms:.0f} ms"
    return svg.drawing(WIDTH, height, label, parts, "timeline")


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


def _phases(move: Move, scale: Scale) -> list[Markup]:
    y = 32
    parts = [svg.text(LEFT - 8, y + 18, move.way, "small", "end", LEFT - 12)]
    phases = list(move.phases) or [("migration", 0.0), ("done", move.seconds)]
    for index, ((name, began), (_, ended)) in enumerate(pairwise(phases)):
        x, width = scale(began), max(1.5, scale(ended) - scale(began))
        tip = svg.element("title", f"{name}: {began:.2f} to {ended:.2f} s")
        parts.append(svg.element("g", tip, svg.rect(x, y, width, LANE - 4, f"phase p{index % 4}", 3)))
        if width > svg.NARROW * min(len(name), 5) + 8:
            parts.append(svg.text(x + width / 2, y + 17, name, "small", width=width - 4))
    name, at = phases[-1]
    bad = bool(move.failed) or name == "Failed"
    parts.append(svg.line([(scale(at), y - 4), (scale(at), y + LANE)], "end bad" if bad else "end"))
    return parts


def _probe(probe: Probe, scale: Scale, y: float, limit_ms: float) -> list[Markup]:
    """Round trips as a line, silences as bars, the longest with its length."""
    parts = [
        svg.text(LEFT - 8, y + 14, probe.title, "small", "end", LEFT - 12),
        svg.text(LEFT - 8, y + 30, f"{probe.sent} sent, {probe.sent - probe.received} lost", "small dim", "end"),
        svg.rect(scale(probe.began_s), y, scale(probe.ended_s) - scale(probe.began_s), PROBE - 16, "lane", 3),
    ]
    parts += _samples(probe, scale, y)
    bars = [s for s in sorted(probe.silences, key=lambda s: -s.ms) if _seen(s, scale) or _bad(s, limit_ms)][:BARS]
    parts += [_bar(silence, scale, y, _bad(silence, limit_ms)) for silence in bars]
    short = [s for s in probe.silences if s not in bars]
    if short:
        tip = svg.element("title", f"{len(short)} shorter silences")
        ticks = _ticks(sorted({round(scale(s.at_s)) for s in short}), y + PROBE - 10)
        parts.append(svg.element("g", tip, svg.element("path", d=ticks, class_="ticks")))
    longest = max(probe.silences, key=lambda s: s.ms, default=None)
    if longest is not None:
        x, said = scale(longest.at_s + longest.ms / 1000) + 4, f"{longest.ms:.0f} ms"
        end = x + len(said) * svg.NARROW > WIDTH - RIGHT
        x, anchor = (scale(longest.at_s) - 4, "end") if end else (x, "start")
        parts.append(svg.text(x, y + 14, said, "strong small halo", anchor))
    return parts


def _ticks(places: Sequence[int], y: float) -> str:
    """A path with a tick at each place; those that touch are one stroke, so that its length is bounded."""
    strokes: list[list[int]] = []
    for x in places:
        if strokes and x - strokes[-1][1] <= TICK:
            strokes[-1][1] = x
        else:
            strokes.append([x, x])
    return "".join(f"M{first},{y:.0f}h{last - first + TICK}" for first, last in strokes)


def _bar(silence: Silence, scale: Scale, y: float, bad: bool) -> Markup:
    x, width = scale(silence.at_s), max(2.0, scale(silence.at_s + silence.ms / 1000) - scale(silence.at_s))
    said = f"no answer for {silence.ms:.0f} ms from {silence.at_s:.2f} s on"
    tip = svg.element("title", f"{said}, {silence.phase}" if silence.phase else said)
    return svg.element("g", tip, svg.rect(x, y, width, PROBE - 16, "silence bad" if bad else "silence", 2))


def _bad(silence: Silence, limit_ms: float) -> bool:
    return silence.open or (limit_ms > 0 and silence.ms > limit_ms)


def _seen(silence: Silence, scale: Scale) -> bool:
    return scale(silence.at_s + silence.ms / 1000) - scale(silence.at_s) >= SEEN


def _samples(probe: Probe, scale: Scale, y: float) -> list[Markup]:
    """Round trips, the slowest at the top of the lane; no line crosses a silence."""
    top = max((trip for _, trip in probe.samples), default=1) or 1
    base, height = y + PROBE - 20, PROBE - 26
    cuts = sorted(s.at_s for s in probe.silences if _seen(s, scale))
    parts: list[Markup] = []
    run: list[tuple[float, float]] = []
    for second, trip in probe.samples:
        while cuts and second > cuts[0]:
            cuts.pop(0)
            parts += [svg.line(run, "trips")] if len(run) > 1 else []
            run = []
        run.append((scale(second), base - height * min(1.0, trip / top)))
    return [*parts, svg.line(run, "trips")] if len(run) > 1 else parts
