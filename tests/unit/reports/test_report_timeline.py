"""A timeline of a busy machine: as large as its picture, and the silence that matters stands out."""

from __future__ import annotations

from reports import timeline
from reports.traffic import Move, Probe, Silence

LATE = [Silence(n / 50, 12.0) for n in range(700)]


def draw(silences: list[Silence], limit_ms: float = 1000) -> str:
    probe = Probe("ping a → b", 0.0, 15.0, 1500, 1400, silences)
    return str(timeline.draw(Move("m", "vm-a", "w1 → w2", 12.0, [("pending", 0.0), ("done", 12.0)], [probe]), limit_ms))


def test_hundreds_of_late_answers_are_ticks_and_the_long_silence_is_a_bar() -> None:
    drawn = draw([*LATE, Silence(10.0, 1500.0, phase="switch-over")])
    assert drawn.count('class="silence') == 1
    assert 'class="silence bad"' in drawn
    assert "no answer for 1500 ms from 10.00 s on, switch-over" in drawn
    assert "700 shorter silences" in drawn
    assert len(drawn) < 6000


def test_a_short_silence_over_the_limit_is_a_bar_all_the_same() -> None:
    assert 'class="silence bad"' in draw([Silence(3.0, 15.0)], limit_ms=10)


def test_bars_are_bounded_and_the_longest_are_chosen() -> None:
    drawn = draw([Silence(n / 4, 100.0 + n) for n in range(50)])
    assert drawn.count('class="silence') == timeline.BARS
    assert "no answer for 149 ms" in drawn
    assert "no answer for 100 ms" not in drawn
