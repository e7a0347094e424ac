"""ICMP echo: the command for it, and a pure parser of what iputils' and busybox' ping print.

A text that cannot be parsed is inconclusive, never loss (a broken parser must not look like a broken network).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started

Flavour = Literal["iputils", "busybox"]
_SUMMARY = re.compile(
    r"^(?:\d+\.\d+ )?(?P<sent>\d{1,9}) packets transmitted, (?P<received>\d{1,9}) (?:packets )?received"
    r"(?:, \+?(?P<duplicates>\d{1,9}) duplicates)?(?:, \+(?P<errors>\d+) errors)?",
    re.M,
)
_REPLY = re.compile(
    r"^(?:\[(?P<at>\d{1,12}\.\d+)\] )?\d+ bytes from (?P<peer>[^\s:(]+)[^\n]*?:? (?:icmp_)?seq=(?P<seq>\d{1,9})"
    r"[^\n]*? time[=<](?P<ms>\d{1,9}(?:\.\d+)?) ms(?P<duplicate> \(DUP!\))?",
    re.M,
)
_ERROR = re.compile(r"^(?:\[\d+\.\d+\] )?From (?P<peer>\S+) (?:icmp_)?seq=(?P<seq>\d+) (?P<what>[^\n]+)$", re.M)
_REFUSALS = (
    ("Network is unreachable", "no route to it"),
    ("Network unreachable", "no route to it"),
    ("No route to host", "no route to it"),
    ("Host is unreachable", "no route to it"),
)
_NOT_STARTED = (
    "bad address",
    "Name or service not known",
    "Operation not permitted",
    "permission denied",
    "unknown host",
)


@dataclass(frozen=True)
class Reply:
    """One answer: sequence number, round trip in ms, and with `ping -D` the wall-clock second it came at."""

    seq: int
    ms: float
    at: float | None = None


@dataclass(frozen=True)
class PingStatistics:
    """Parsed output. `sent` and `received` are those of the summary line; `errors` are ICMP errors that came back, as
    (peer, text); `duplicates` answers beyond the first."""

    sent: int
    received: int
    replies: tuple[Reply, ...]
    errors: tuple[tuple[str, str], ...]
    duplicates: int

    @property
    def lost(self) -> int:
        return max(0, self.sent - self.received)

    @property
    def loss_percent(self) -> float:
        return 100.0 * self.lost / self.sent if self.sent else 0.0

    @property
    def rtts_ms(self) -> tuple[float, ...]:
        return tuple(reply.ms for reply in self.replies)


@dataclass(frozen=True)
class PingObservation(Observation):
    """An observation with its numbers; `statistics` is None when the output could not be parsed."""

    statistics: PingStatistics | None = field(default=None)


def ping_command(
    target: str, *, count: int, wait_s: int = 1, interval_s: float = 1.0, interface: str = "", size: int = 0
) -> list[str]:
    """The argv of a finite ping that both flavours understand; `wait_s` is how long the last answer is waited for.

    No -w: with it iputils goes on sending beyond `count` when answers are lost.
    """
    argv = ["ping", "-n", "-c", str(count), "-W", str(wait_s)]
    if interval_s != 1.0:
        argv += ["-i", f"{interval_s:g}"]
    if interface:
        argv += ["-I", interface]
    if size:
        argv += ["-s", str(size)]
    return [*argv, target]


def without_n(argv: Sequence[str]) -> list[str]:
    """The same for busybox, which resolves no names in replies and has no -n."""
    return [word for word in argv if word != "-n"]


def parse_replies(text: str) -> tuple[Reply, ...]:
    """The answers, duplicates left out, in the order they came."""
    matches = (m for m in _REPLY.finditer(text) if not m["duplicate"])
    return tuple(Reply(int(m["seq"]), float(m["ms"]), float(m["at"]) if m["at"] else None) for m in matches)


def parse_summary(text: str) -> tuple[int, int, int] | None:
    """(sent, received, duplicates); None unless there is exactly one summary line that makes sense."""
    found = list(_SUMMARY.finditer(text))
    if len(found) != 1 or int(found[0]["received"]) > int(found[0]["sent"]):
        return None
    return int(found[0]["sent"]), int(found[0]["received"]), int(found[0]["duplicates"] or 0)


def parse_ping(text: str) -> PingStatistics | None:
    """None when there is no summary, or the summary and the reply lines contradict each other."""
    summary = parse_summary(text)
    if summary is None:
        return None
    sent, received, duplicates = summary
    replies = parse_replies(text)
    if replies and len(replies) != received:
        return None
    errors = tuple((m["peer"], m["what"].strip()) for m in _ERROR.finditer(text))
    return PingStatistics(sent, received, replies, errors, duplicates)


def read_ping(result: CommandResult, source: str, target: str) -> PingObservation:
    """A finished ping as an observation. Pure, but raises ProbeNotStarted for exit status 126 and 127."""
    started(result, "ping")

    def seen(outcome: Outcome, detail: str, statistics: PingStatistics | None = None) -> PingObservation:
        return PingObservation("ping", source, target, outcome, detail, result, statistics)

    for text, meaning in _REFUSALS:
        if text in result.output and "packets transmitted" not in result.output:
            return seen(Outcome.NOT_REACHED, f"{meaning} ({text})")
    for text in _NOT_STARTED:
        if text.lower() in result.output.lower():
            return seen(Outcome.INCONCLUSIVE, f"ping did not start: {result.output.strip().splitlines()[-1]}")
    statistics = parse_ping(result.stdout)
    if statistics is None:
        return seen(Outcome.INCONCLUSIVE, f"cannot make sense of ping's output ({result.stdout[-200:]!r})")
    if not statistics.sent:
        return seen(Outcome.INCONCLUSIVE, "ping sent nothing", statistics)
    return seen(
        Outcome.REACHED if statistics.received else Outcome.NOT_REACHED, describe(statistics, result.stdout), statistics
    )


def describe(statistics: PingStatistics, text: str = "") -> str:
    """One line: counts, round trips, and what came back instead of answers."""
    line = f"{statistics.received} of {statistics.sent} answered"
    if statistics.rtts_ms:
        rtts = sorted(statistics.rtts_ms)
        line += f", {rtts[0]:.2f}-{rtts[-1]:.2f} ms"
    if statistics.errors:
        peer, what = statistics.errors[-1]
        line += f"; {peer} says: {what}"
    return line + (f"; {statistics.duplicates} duplicates" if statistics.duplicates else "")


def second_try(first: PingObservation, again: PingObservation) -> PingObservation:
    """What counts after a first try that lost too many: the second, unless it had fewer answers.

    Those are no matter of learning (it may wait behind the first in a queue), and the first shows more."""
    had, has = first.statistics, again.statistics
    return first if had and has and has.received < had.received else again


def ping(
    shell: Shell,
    target: str,
    *,
    count: int = 5,
    interval_s: float = 1.0,
    wait_s: int = 1,
    interface: str = "",
    size: int = 0,
    deadline: Deadline,
) -> PingObservation:
    """Pings from a shell. A busybox that knows no -n is asked again without.

    Raises ProbeNotStarted (no ping there), GuestUnreachable. A time-out is inconclusive: ping has an end of its own.
    """
    argv = ping_command(target, count=count, wait_s=wait_s, interval_s=interval_s, interface=interface, size=size)
    with trace.span("probe", shell.place, f"ping {target}", limit=deadline.remaining()) as span:
        try:
            result = shell.run(argv, deadline=deadline)
            if "invalid option -- 'n'" in result.output or "unrecognized option: n" in result.output:
                result = shell.run(without_n(argv), deadline=deadline)
        except EnvironmentTimeout as error:
            detail = f"no end of ping within {error.elapsed:.0f} s"
            return PingObservation("ping", shell.place, target, Outcome.INCONCLUSIVE, detail, None)
        seen = read_ping(result, shell.place, target)
        span.observed(str(seen))
        return seen
