"""The continuous ping: numbers from text, silence up to the end, and real runs of ping where it is installed."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted, ToolMissing
from lab.core.result import CommandResult
from lab.probes.downtime import Downtime, GuestPing, OutsidePing, measure
from lab.target.inventory import OutsideHost

EVIDENCE = CommandResult(("ping",), "gateway-2024", 0, "", "", 1.0)


def read(text: str, interval_ms: float = 10, tail_s: float | None = 0.0) -> Downtime:
    return measure(text, source="gw", target="vm", interval_ms=interval_ms, tail_s=tail_s, evidence=EVIDENCE)


def stamped(times: dict[int, float]) -> str:
    return "".join(
        f"[{100 + at:.6f}] 64 bytes from 10.0.0.1: icmp_seq={seq} ttl=64 time=1 ms\n" for seq, at in times.items()
    )


def counted(seqs: list[int], sent: int) -> str:
    lines = "".join(f"64 bytes from 10.0.0.1: seq={seq} ttl=64 time=1.0 ms\n" for seq in seqs)
    return f"{lines}\n{sent} packets transmitted, {len(seqs)} packets received, x% packet loss\n"


def test_the_longest_silence_is_taken_from_the_time_stamps() -> None:
    seen = read(stamped({1: 0.0, 2: 0.01, 3: 0.02, 28: 0.27, 29: 0.28}))
    assert round(seen.longest_gap_ms) == 250
    assert (seen.sent, seen.received, seen.lost) == (29, 5, 24)
    assert round(seen.gaps[0].at_s, 2) == 0.02
    assert seen.clock == "time stamps"
    assert seen.gaps_over(300) == ()


def test_silence_up_to_the_end_counts() -> None:
    seen = read(stamped({1: 0.0, 2: 0.01}), tail_s=3.0)
    assert seen.longest_gap_ms == 3000
    assert seen.gaps[0].open
    assert seen.lost == 300
    assert "up to the end" in str(seen)


def test_without_time_stamps_the_sequence_numbers_tell() -> None:
    seen = read(counted([0, 1, 2, 8, 9], 10), interval_ms=200, tail_s=None)
    assert (seen.longest_gap_ms, seen.lost, seen.clock) == (1200, 5, "sequence numbers")
    assert read(counted([0, 1, 2], 4), interval_ms=200, tail_s=None).lost == 0
    dead = read(counted([0, 1, 2], 23), interval_ms=200, tail_s=None)
    assert (dead.longest_gap_ms, dead.gaps[0].open) == (4000, True)


def test_no_answer_at_all_is_a_probe_that_never_started() -> None:
    with pytest.raises(ProbeNotStarted, match="plain ping"):
        read("PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n")


def test_a_summary_that_contradicts_the_lines_is_inconclusive() -> None:
    with pytest.raises(Inconclusive, match="summary"):
        read(counted([0, 1, 2, 30], 4))


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(0, 50))
def test_lost_and_longest_gap_agree_with_what_is_missing(answered: set[int], tail: int) -> None:
    seqs = sorted(answered)
    sent = seqs[-1] + 1 + tail
    seen = read(counted(seqs, sent), interval_ms=100, tail_s=None)
    in_flight = tail if tail <= 1 else 0
    assert seen.lost == sent - in_flight - len(seqs)
    longest = max([b - a for a, b in itertools.pairwise(seqs)] + [tail])
    assert seen.longest_gap_ms == (pytest.approx(longest * 100) if longest > 2 else 0)


class LocalShell:
    """A guest that is this machine."""

    place = "guest demo/a"

    def run(self, argv: list[str], *, deadline: Deadline) -> CommandResult:
        return process.run(argv, deadline=deadline, place=self.place)

    def close(self) -> None:
        pass


@pytest.fixture
def ping() -> None:
    """The lab's ping; a kernel may keep it to root (net.ipv4.ping_group_range)."""
    tried = process.run(["ping", "-c", "1", "-W", "1", "127.0.0.1"], deadline=Deadline.after(5))
    if not tried.ok:
        pytest.skip(f"needs a ping that may be used here, found: {tried.stderr or tried.stdout}")


@pytest.mark.usefixtures("ping")
def test_a_live_ping_from_an_outside_host_is_measured() -> None:
    with OutsidePing(OutsideHost("here", ("env",), ()), "127.0.0.1", interval_ms=20) as probe:
        probe.start(Deadline.after(10))
        assert probe.wait_answer(Deadline.after(5))
        seen = probe.stop()
    assert seen.received >= 3
    assert seen.lost <= 1
    assert seen.clock == "time stamps"


@pytest.mark.usefixtures("ping")
def test_a_ping_inside_a_guest_is_fetched_and_its_log_removed() -> None:
    probe = GuestPing(LocalShell(), "127.0.0.1", interval_ms=200)
    probe.start(Deadline.after(10))
    seen = probe.stop(Deadline.after(10))
    assert seen.received >= 1
    assert seen.sent >= seen.received


FAKE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGINT, lambda *a: sys.exit('interrupted'))\n"
    "for n in range(1, {count}):\n"
    "    print(f'[{{time.time():.6f}}] 64 bytes from 10.0.0.1: icmp_seq={{n}} ttl=64 time=1 ms', flush=True)\n"
    "    time.sleep(0.01)\n"
    "time.sleep(30)\n"
)


def test_an_outside_ping_killed_without_a_summary_still_counts_its_tail() -> None:
    host = OutsideHost("gw", (sys.executable, "-c", FAKE.format(count=20)), ())
    with OutsidePing(host, "10.0.0.1") as probe:
        probe.start(Deadline.after(10))
        while probe.wait_answer(Deadline.after(0.5)):
            pass
        seen = probe.stop()
    assert seen.gaps[0].open
    assert 480 < seen.longest_gap_ms < 3000
    assert seen.received == 19


def test_an_outside_ping_without_answers_never_started() -> None:
    host = OutsideHost("gw", (sys.executable, "-c", "import sys; sys.exit('no route')"), ())
    with OutsidePing(host, "10.0.0.1") as probe, pytest.raises(ProbeNotStarted, match="no route"):
        probe.start(Deadline.after(10))
    with OutsidePing(OutsideHost("gw", ("no-such-x",), ()), "10.0.0.1") as probe, pytest.raises(ToolMissing):
        probe.start(Deadline.after(1))
