"""From stamped answers to numbers: gaps with begin and end, what was lost, twice, late; and a fast way that agrees."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.probes.replies import Replies, _odd, read_replies
from lab.probes.series import Frame, Series, percentile, series


def frame(ended: float, *, sent: int | None = None, interval_ms: float = 10, first: int = 0) -> Frame:
    return Frame("ping", "gateway", "vm-a", interval_ms, 0.0, ended, sent=sent, first=first)


def seen(times: dict[int, float], ended: float, sent: int | None = None, interval_ms: float = 10) -> Series:
    return series(
        frame(ended, sent=sent, interval_ms=interval_ms), list(times), list(times.values()), [1.0] * len(times)
    )


def test_a_cut_of_100_ms_reads_100_ms() -> None:
    times = {n: n / 100 for n in range(50) if not 20 <= n < 30}
    got = seen(times, 0.49, 50)
    assert got.longest_gap_ms == pytest.approx(100)
    assert (got.gaps[0].at, got.gaps[0].until) == (pytest.approx(0.20), pytest.approx(0.30))
    assert (got.sent, got.lost, got.gaps[0].lost) == (50, 10, 10)
    assert got.gaps_over(100.1) == ()
    assert len(got.gaps) == 1


def test_answers_that_come_late_are_a_gap_without_loss() -> None:
    times = {n: n / 100 if not 20 <= n < 30 else 0.30 for n in range(50)}
    got = seen(times, 0.49, 50)
    assert (got.lost, got.longest_gap_ms) == (0, pytest.approx(100))


def test_silence_up_to_the_end_counts() -> None:
    got = seen({0: 0.0, 1: 0.01}, 3.01, 302)
    assert (got.longest_gap_ms, got.gaps[0].open, got.lost) == (pytest.approx(2990), True, 300)
    assert "up to the end" in str(got)


def test_no_answer_at_all_is_one_gap_and_all_is_lost() -> None:
    got = seen({}, 2.0, 200)
    assert (got.sent, got.lost, got.gaps[0].open) == (200, 200, True)


def test_what_is_on_its_way_at_the_end_is_not_lost() -> None:
    assert seen({n: n / 100 for n in range(10)}, 0.10, 11).lost == 0
    assert seen({n: n / 100 for n in range(10)}, 0.20, 20).lost == 10


def test_without_a_count_what_was_sent_follows_from_numbers_and_silence() -> None:
    assert seen({0: 0.0, 1: 0.01, 4: 0.04}, 1.04).sent == 105


def test_duplicates_and_disorder_are_counted_and_are_no_loss() -> None:
    seqs, times = [0, 2, 1, 1, 3], [0.0, 0.02, 0.021, 0.022, 0.03]
    got = series(frame(0.03, sent=4), seqs, times, [1.0] * 5)
    assert (got.duplicates, got.reordered, got.lost, got.received) == (1, 1, 0, 4)
    assert "1 came twice" in str(got)
    assert "1 out of order" in str(got)


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(2, 50))
def test_loss_and_gaps_agree_with_what_is_missing(answered: set[int], tail: int) -> None:
    seqs = sorted(answered)
    sent = seqs[-1] + 1 + tail
    got = series(frame((sent - 1) / 10, sent=sent, interval_ms=100), seqs, [n / 10 for n in seqs], [1.0] * len(seqs))
    missing = [b - a - 1 for a, b in itertools.pairwise(seqs)]
    assert got.lost == sent - len(seqs)
    assert got.longest_gap_ms == pytest.approx(
        100 * max([n for n in missing if n > 1] + [tail - 1 if tail > 2 else 0]), abs=101
    )
    assert all(gap.ms > 99 for gap in got.gaps)


LINES = (
    "{at:.6f} 64 bytes from 10.0.0.1: seq={seq} ttl=64 time={ms:.3f} ms",
    "[{at:.6f}] 64 bytes from 10.0.0.1: icmp_seq={seq} ttl=64 time={ms:.2f} ms",
    "[{at:.6f}] 64 bytes from vm-a (10.0.0.1): icmp_seq={seq} ttl=64 time={ms:.2f} ms (DUP!)",
    "[{at:.6f}] From 10.0.0.9 icmp_seq={seq} Destination Host Unreachable",
    "kernel: {seq} bytes from nowhere",
    "",
)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 3000), st.floats(0, 0.2))
def test_the_fast_way_reads_what_the_plain_one_reads(seed: int, count: int, odd: float) -> None:
    chance = random.Random(seed)
    usual = chance.randrange(2)
    lines = [
        LINES[chance.randrange(len(LINES)) if chance.random() < odd else usual].format(
            at=1e9 + n / 100, seq=n + 1, ms=chance.random() * 30
        )
        for n in range(count)
    ]
    text = "PING 10.0.0.1\n" + "\n".join(lines) + "\n\n--- statistics ---\n"
    plain = Replies()
    _odd(text, plain)
    assert read_replies(text) == plain


@given(st.text(max_size=2000))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = read_replies(text)
    assert len(found.seq) == len(found.at) == len(found.ms)


def test_numbers_count_on_past_the_sixteen_bits_of_the_wire() -> None:
    wire = [65533, 65534, 65535, 0, 1, 65532, 2]
    text = "".join(LINES[0].format(at=1e9 + n, seq=seq, ms=1) + "\n" for n, seq in enumerate(wire))
    assert read_replies(text).seq == [65533, 65534, 65535, 65536, 65537, 65532, 65538]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert percentile([7.0], 50) == 7
    assert percentile([], 99) == 0
