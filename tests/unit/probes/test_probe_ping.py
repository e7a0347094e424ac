"""Ping, TCP and neighbour probes: real outputs in, three-valued observations out; nothing unparsable becomes loss."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.probes.arp import Neighbour, parse_neighbours, read_neighbour
from lab.probes.observation import Observation, Outcome, retry_inconclusive
from lab.probes.ping import PingObservation, parse_ping, ping, ping_command, read_ping, second_try
from lab.probes.tcp import read_tcp, tcp

BUSYBOX = """PING 192.168.24.1 (192.168.24.1): 56 data bytes
64 bytes from 192.168.24.1: seq=0 ttl=64 time=0.249 ms
64 bytes from 192.168.24.1: seq=2 ttl=64 time=1.080 ms

--- 192.168.24.1 ping statistics ---
3 packets transmitted, 2 packets received, 33% packet loss
round-trip min/avg/max = 0.249/0.664/1.080 ms
"""
IPUTILS = """PING 192.168.24.1 (192.168.24.1) 56(84) bytes of data.
[1795346937.597506] 64 bytes from 192.168.24.1: icmp_seq=1 ttl=64 time=0.036 ms
[1795346937.615794] 64 bytes from 192.168.24.1: icmp_seq=2 ttl=64 time=0.058 ms
[1795346937.615899] 64 bytes from 192.168.24.1: icmp_seq=2 ttl=64 time=0.160 ms (DUP!)

--- 192.168.24.1 ping statistics ---
2 packets transmitted, 2 received, +1 duplicates, 0% packet loss, time 18ms
rtt min/avg/max/mdev = 0.036/0.047/0.058/0.011 ms
"""
UNREACHABLE = """PING 192.168.24.9 (192.168.24.9) 56(84) bytes of data.
From 192.168.24.20 icmp_seq=1 Destination Host Unreachable
From 192.168.24.20 icmp_seq=2 Destination Host Unreachable

--- 192.168.24.9 ping statistics ---
2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1015ms
pipe 2
"""
SILENT = """PING 203.0.113.7 (203.0.113.7): 56 data bytes

--- 203.0.113.7 ping statistics ---
3 packets transmitted, 0 packets received, 100% packet loss
"""


def result(out: str, code: int = 0, err: str = "") -> CommandResult:
    return CommandResult(("ping",), "guest demo/a", code, out, err, 1.0)


def seen(out: str, code: int = 0, err: str = "") -> PingObservation:
    return read_ping(result(out, code, err), "guest demo/a", "192.168.24.1")


def test_a_second_try_counts_unless_it_has_fewer_answers() -> None:
    """Behind a slow line it waits for what the first one left in the queue: then the first says more."""
    some, none = seen(BUSYBOX), seen(SILENT, 1)
    assert second_try(some, none) is some
    assert second_try(none, some) is some
    assert second_try(some, seen(BUSYBOX)) is not some
    unread = seen("nonsense")
    assert second_try(some, unread) is unread


def test_both_flavours_are_read() -> None:
    busybox, iputils = parse_ping(BUSYBOX), parse_ping(IPUTILS)
    assert busybox is not None
    assert iputils is not None
    assert (busybox.sent, busybox.received, busybox.lost, busybox.rtts_ms) == (3, 2, 1, (0.249, 1.08))
    assert (iputils.sent, iputils.received, iputils.duplicates) == (2, 2, 1)
    assert [reply.at for reply in iputils.replies] == [1795346937.597506, 1795346937.615794]


def test_answers_are_reached_and_silence_is_not() -> None:
    assert seen(BUSYBOX, 1).reached
    silent = seen(SILENT, 1)
    assert silent.not_reached
    assert "0 of 3 answered" in str(silent)


def test_an_icmp_error_is_told_with_who_sent_it() -> None:
    observation = seen(UNREACHABLE, 1)
    assert observation.not_reached
    assert "192.168.24.20 says: Destination Host Unreachable" in observation.detail


@pytest.mark.parametrize("text", ["ping: connect: Network is unreachable", "ping: sendto: Network is unreachable"])
def test_no_route_is_not_reached(text: str) -> None:
    assert seen("PING 1.2.3.4 (1.2.3.4): 56 data bytes\n", 2, text).not_reached


@pytest.mark.parametrize(
    "out",
    [
        "",
        "PING x",
        BUSYBOX + SILENT,
        BUSYBOX.replace("2 packets received", "5 packets received"),
        BUSYBOX.replace("2 packets received", "0 packets received"),
        "3 pakets transmitted, 0 received",
    ],
)
def test_what_cannot_be_parsed_is_inconclusive_and_never_loss(out: str) -> None:
    observation = seen(out, 1)
    assert observation.inconclusive
    with pytest.raises(Inconclusive, match=r"192\.168\.24\.1"):
        observation.conclusive()


@pytest.mark.parametrize(
    "text",
    ["ping: bad address 'x'", "ping: permission denied (are you root?)", "ping: socket: Operation not permitted"],
)
def test_a_ping_that_cannot_start_is_no_silence(text: str) -> None:
    assert seen("", 1, text).inconclusive


def test_a_missing_ping_is_a_broken_environment() -> None:
    with pytest.raises(ProbeNotStarted, match="ping"):
        seen("", 127, "sh: ping: not found")


@given(st.text(max_size=400))
def test_no_text_makes_the_parser_fail_or_invent_loss(text: str) -> None:
    statistics = parse_ping(text)
    if statistics is None:
        assert seen(text).outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_REACHED)


@given(
    st.sets(st.integers(0, 40), max_size=20),
    st.integers(0, 60),
    st.floats(0.01, 900, allow_nan=False).map(lambda ms: round(ms, 3)),
)
def test_what_ping_prints_is_what_is_read(answered: set[int], more: int, ms: float) -> None:
    sent = max(answered, default=-1) + 1 + more
    lines = "".join(f"64 bytes from 10.0.0.1: seq={seq} ttl=64 time={ms:.3f} ms\n" for seq in sorted(answered))
    statistics = parse_ping(f"{lines}\n{sent} packets transmitted, {len(answered)} packets received, x% packet loss\n")
    assert statistics is not None
    assert (statistics.sent, statistics.received) == (sent, len(answered))
    assert [reply.seq for reply in statistics.replies] == sorted(answered)


def test_the_command_is_an_argument_list() -> None:
    argv = ping_command("10.0.0.1", count=3, wait_s=2, interval_s=0.2, interface="eth1", size=1400)
    assert argv == ["ping", "-n", "-c", "3", "-W", "2", "-i", "0.2", "-I", "eth1", "-s", "1400", "10.0.0.1"]


class FakeShell:
    """Answers in turn."""

    place = "guest demo/a"

    def __init__(self, *answers: CommandResult | Exception) -> None:
        self.answers = list(answers)
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        self.ran.append(list(argv))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


def test_a_busybox_without_n_is_asked_again() -> None:
    shell = FakeShell(result("", 1, "ping: invalid option -- 'n'"), result(BUSYBOX))
    assert ping(shell, "192.168.24.1", deadline=Deadline.after(5)).reached
    assert "-n" not in shell.ran[1]


def test_a_ping_without_end_is_inconclusive() -> None:
    late = EnvironmentTimeout("ping", "end", last="", elapsed=9)
    assert ping(FakeShell(late), "192.168.24.1", deadline=Deadline.after(5)).inconclusive


def observed(outcome: Outcome) -> Observation:
    return Observation("ping", "a", "b", outcome, "detail", None)


def test_only_the_inconclusive_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.probes.observation._PAUSE_S", 0.01)
    answers = [observed(Outcome.INCONCLUSIVE), observed(Outcome.NOT_REACHED), observed(Outcome.REACHED)]
    assert retry_inconclusive(lambda: answers.pop(0), Deadline.after(5)).not_reached
    assert len(answers) == 1
    assert retry_inconclusive(lambda: observed(Outcome.INCONCLUSIVE), Deadline.after(0.05)).inconclusive


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, "", Outcome.REACHED),
        (1, "nc: can't connect to remote host (10.0.0.1): Connection refused", Outcome.NOT_REACHED),
        (1, "nc: connect to 10.0.0.1 port 22 (tcp) timed out: Operation now in progress", Outcome.NOT_REACHED),
        (1, "nc: timed out", Outcome.NOT_REACHED),
        (1, "nc: invalid option -- 'w'", Outcome.INCONCLUSIVE),
        (1, "", Outcome.INCONCLUSIVE),
    ],
)
def test_tcp_is_read_by_its_words(code: int, said: str, outcome: Outcome) -> None:
    assert read_tcp(result("", code, said), "a", "10.0.0.1", 22).outcome is outcome


def test_tcp_passes_host_and_port_as_arguments() -> None:
    shell = FakeShell(result(""))
    assert tcp(shell, "$(reboot)", 22, deadline=Deadline.after(5)).reached
    assert shell.ran[0][-2:] == ["$(reboot)", "22"]
    assert "$(reboot)" not in shell.ran[0][2]


NEIGHBOURS = """192.168.24.1 dev eth0 lladdr 0a:58:c0:a8:18:01 REACHABLE
192.168.24.9 dev eth0  FAILED
192.168.24.7 dev eth0 lladdr 02:00:00:20:24:0a router STALE
fe80::1 dev eth0 lladdr 0a:58:c0:a8:18:01 router REACHABLE
"""


def test_the_neighbour_table_is_read() -> None:
    entries = parse_neighbours(NEIGHBOURS)
    assert entries is not None
    assert entries[0] == Neighbour("192.168.24.1", "eth0", "0a:58:c0:a8:18:01", "REACHABLE")
    assert [entry.state for entry in entries] == ["REACHABLE", "FAILED", "STALE", "REACHABLE"]
    assert parse_neighbours("no table at all") is None


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ("192.168.24.1", Outcome.REACHED),
        ("192.168.24.9", Outcome.NOT_REACHED),
        ("192.168.24.7", Outcome.INCONCLUSIVE),
        ("192.168.24.66", Outcome.INCONCLUSIVE),
    ],
)
def test_a_neighbour_is_three_valued(address: str, outcome: Outcome) -> None:
    assert read_neighbour(result(NEIGHBOURS), "a", address).outcome is outcome


def test_busybox_counts_duplicates_without_a_plus() -> None:
    found = parse_ping(
        "64 bytes from 192.168.24.1: seq=0 ttl=64 time=2.724 ms\n"
        "64 bytes from 192.168.24.1: seq=0 ttl=64 time=2.908 ms (DUP!)\n"
        "64 bytes from 192.168.24.1: seq=1 ttl=64 time=5.973 ms\n\n"
        "--- 192.168.24.1 ping statistics ---\n"
        "2 packets transmitted, 2 packets received, 1 duplicates, 0% packet loss\n"
    )
    assert found is not None
    assert (found.sent, found.received, found.duplicates) == (2, 2, 1)
