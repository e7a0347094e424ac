"""Clocks against each other: a pause that a guest's stamps do not show, a clock that is set, errors that are true."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.deadline import Deadline
from lab.core.errors import ProbeNotStarted
from lab.core.result import CommandResult
from lab.guest.talk import Answer
from lab.probes.clocks import Reading, Stretch, steps, stretches, translate, unseen_s
from lab.probes.clockwatch import ClockWatch, read_clock

BEGAN = 1e9


class Guest:
    """A clock that is ahead of the harness', stands still in pauses, and may be set."""

    def __init__(self, ahead: float, *, pause: tuple[float, float] = (9e9, 0), setting: tuple[float, float] = (9e9, 0)):
        self.ahead, self.pause, self.setting = ahead, pause, setting

    def up(self, at: float) -> float:
        begins, length = self.pause
        return at - BEGAN - min(max(0.0, at - begins), length)

    def shown(self, at: float) -> float:
        return BEGAN + self.up(at) + self.ahead + (self.setting[1] if at >= self.setting[0] else 0.0)

    def readings(self, moments: Sequence[float], seed: int = 1) -> list[Reading]:
        chance = random.Random(seed)
        found = []
        for at in moments:
            before, after = chance.uniform(0.001, 0.02), chance.uniform(0.001, 0.02)
            up = int(self.up(at) * 100) / 100
            found.append(Reading(at - before, at + after, self.shown(at), up))
        return found


def every(step: float, begin: float, end: float) -> list[float]:
    return [BEGAN + begin + n * step for n in range(int((end - begin) / step))]


@given(st.floats(-5, 5), st.integers(0, 1000))
def test_one_even_clock_is_one_stretch_and_its_error_is_true(ahead: float, seed: int) -> None:
    found = stretches(Guest(ahead).readings(every(0.2, 0, 6), seed))
    assert len(found) == 1
    assert abs(found[0].ahead - ahead) <= found[0].error + 1e-6
    assert found[0].error <= 0.02


@given(st.floats(0.06, 3), st.integers(0, 1000))
def test_a_pause_that_the_stamps_do_not_show_is_put_where_nothing_was_answered(length: float, seed: int) -> None:
    guest = Guest(0.5, pause=(BEGAN + 3, length))
    outside = [at for at in every(0.2, 0, 9) if not BEGAN + 2.9 < at < BEGAN + 3 + length + 0.2]
    found = stretches(guest.readings(outside, seed))
    (step,) = steps(found)
    assert step.stood_still
    assert abs(step.lost_s - length) <= step.error + 0.001
    assert "stood still" in str(step)
    moments = [at for at in every(0.01, 0, 9) if not BEGAN + 2.98 < at < BEGAN + 3 + length + 0.01]
    got = translate([guest.shown(at) for at in moments], found)
    assert max(abs(a - b) for a, b in zip(got.times, moments, strict=True)) <= got.error_ms / 1000 + 0.002
    assert got.remarks == (str(step),)


@pytest.mark.parametrize("by", [-3600.0, -1.0, -0.3, 0.3, 1.0, 86400.0])
def test_a_clock_that_is_set_is_seen_said_and_taken_out(by: float) -> None:
    guest = Guest(0.5, setting=(BEGAN + 3.004, by))
    found = stretches(guest.readings(every(0.2, 0, 6)))
    (step,) = steps(found)
    assert not step.stood_still
    assert f"set {'forward' if by > 0 else 'back'} by" in str(step)
    moments = every(0.01, 0, 6)
    got = translate([guest.shown(at) for at in moments], found)
    assert max(abs(a - b) for a, b in zip(got.times, moments, strict=True)) < 0.03


def test_a_pause_that_readings_could_not_see_is_bounded_and_one_that_was_seen_leaves_little() -> None:
    guest = Guest(0.5, pause=(BEGAN + 3, 0.25))
    before = guest.readings(every(0.2, 0, 2.9))
    assert unseen_s(before, BEGAN + 3.5, BEGAN + 6) == pytest.approx(3.2, abs=0.3)
    at = BEGAN + 4
    blurred = Reading(at - 0.4, at + 0.3, guest.shown(at), None)
    assert len(stretches([*before, blurred])) == 1
    assert unseen_s([*before, blurred], BEGAN + 3.5, BEGAN + 6) >= 0.25
    assert unseen_s(guest.readings(every(0.2, 0, 2.9) + every(0.2, 4, 6)), BEGAN + 3.5, BEGAN + 6) < 0.03
    assert unseen_s([], BEGAN + 3, BEGAN + 4) == 1.0


def test_two_clocks_that_drift_apart_are_not_worth_a_word() -> None:
    found = (Stretch(0, 10, 0.5, 0.001), Stretch(11, 20, 0.4969, 0.001))
    assert translate([1.0, 12.0], found).remarks == ()


def test_without_any_reading_nothing_is_translated() -> None:
    with pytest.raises(ValueError, match="no reading"):
        translate([1.0], ())


@pytest.mark.parametrize(
    ("text", "shown", "up"),
    [("1795660166.382785 63.31", 1795660166.382785, 63.31), ("1795660166,38 63.31", 1795660166.38, 63.31),
     ("1795660166.3", 1795660166.3, None)],
)  # fmt: skip
def test_a_clocks_answer_is_read(text: str, shown: float, up: float | None) -> None:
    assert read_clock(Answer(text, 1, 2)) == Reading(1, 2, shown, up)


@pytest.mark.parametrize("text", ["", "1795660166.%N 63.31", "sh: date: not found", "\x00"])
def test_what_is_no_time_is_no_reading(text: str) -> None:
    assert read_clock(Answer(text, 1, 2)) is None


class Place:
    """A place whose shell answers every command with the same function."""

    place = "guest demo/a"

    def __init__(self, answer: Callable[[], str]) -> None:
        self._answer = answer

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        return CommandResult(tuple(argv), self.place, 0, self._answer(), "", 0.0)

    def close(self) -> None:
        pass


def test_a_watch_reads_from_start_to_stop() -> None:
    with ClockWatch(Place(lambda: f"{time.time() + 7:.6f} {time.monotonic():.2f}\n")) as watch:
        watch.start(Deadline.after(5))
        (found,) = watch.stop()
    assert found.ahead == pytest.approx(7, abs=0.05)
    assert found.ends > found.begins


def test_a_place_without_a_usable_clock_is_said() -> None:
    with (
        ClockWatch(Place(lambda: "1795660166.%N 3.1\n")) as watch,
        pytest.raises(ProbeNotStarted, match="EPOCHREALTIME"),
    ):
        watch.start(Deadline.after(5))
