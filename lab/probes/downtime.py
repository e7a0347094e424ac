"""A continuous ping across a disturbance, and what it says afterwards: sent, lost, the longest silence.

Two ways to run it: from an outside host, whose lines come to us live; or inside the guest, apart from any shell, with
its log fetched afterwards. It observes; which gap is too long is for the step. Silence up to the end counts, since a
guest that never answers again makes no gap between two answers.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from lab.core import process, trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.core.wait import Periodic
from lab.guest.outside import OutsideShell
from lab.guest.shell import Shell
from lab.probes.ping import Reply, parse_replies, parse_summary
from lab.target.inventory import OutsideHost

_END_S = 3.0
_BASELINE = 3


@dataclass(frozen=True)
class Gap:
    """A silence: from the last answer before it (s since the first answer) and how long it was (ms); `open` when it
    lasted to the end of the probe."""

    at_s: float
    ms: float
    open: bool = False


@dataclass(frozen=True)
class Downtime:
    """The whole probe. `gaps` holds every silence over two intervals, longest first. `clock` says what the times are
    taken from: "time stamps" of each answer, or "sequence numbers" (then gaps are multiples of the interval)."""

    source: str
    target: str
    interval_ms: float
    sent: int
    received: int
    duration_s: float
    gaps: tuple[Gap, ...]
    clock: str
    evidence: CommandResult

    @property
    def lost(self) -> int:
        return max(0, self.sent - self.received)

    @property
    def longest_gap_ms(self) -> float:
        return self.gaps[0].ms if self.gaps else 0.0

    def gaps_over(self, ms: float) -> tuple[Gap, ...]:
        """The silences longer than a threshold, longest first."""
        return tuple(gap for gap in self.gaps if gap.ms > ms)

    def __str__(self) -> str:
        gap = f"longest silence {self.longest_gap_ms:.0f} ms"
        if self.gaps:
            gap += f" at {self.gaps[0].at_s:.1f} s" + (", up to the end" if self.gaps[0].open else "")
        return (
            f"ping {self.source} -> {self.target} every {self.interval_ms:g} ms for {self.duration_s:.1f} s: "
            f"{self.sent} sent, {self.lost} lost, {gap}"
        )


def measure(
    text: str, *, source: str, target: str, interval_ms: float, tail_s: float | None, evidence: CommandResult
) -> Downtime:
    """From ping's output to numbers; pure. `tail_s` is the time from the last answer to the end of the probe when that
    was observed, else None (then the sequence numbers up to the last one sent tell).

    Raises ProbeNotStarted (no answer at all), Inconclusive (the output contradicts itself).
    """
    replies = parse_replies(text)
    summary = parse_summary(text)
    where = f"ping {source} -> {target}"
    if not replies:
        said = text.strip()[-300:] or "no output"
        raise ProbeNotStarted(f"answers before the disturbance ({where})", said, source, "does it answer a plain ping?")
    seqs = [reply.seq for reply in replies]
    if summary and (summary[0] < len(set(seqs)) or summary[0] <= max(seqs) - min(seqs)):
        raise Inconclusive(f"ping's summary to match its lines ({where})", evidence.stdout[-500:], source, "repeat it")
    stamped = all(reply.at is not None for reply in replies)
    times = [_time(reply, stamped, interval_ms) for reply in replies]
    first, last = min(times), max(times)
    # Sequence numbers start at 1 (iputils) or 0 (busybox).
    answered_up_to = max(seqs) + (0 if "icmp_seq=" in text else 1)
    if summary:
        sent = _without_in_flight(summary[0], answered_up_to, replies, interval_ms)
    else:
        sent = answered_up_to + int((tail_s or 0.0) * 1000 / interval_ms)
    if tail_s is None:
        tail_s = max(0, sent - answered_up_to) * interval_ms / 1000
    gaps = _gaps(sorted(times), first, 2 * interval_ms)
    if tail_s * 1000 > 2 * interval_ms:
        gaps.append(Gap(last - first, round(tail_s * 1000, 3), open=True))
    return Downtime(
        source=source,
        target=target,
        interval_ms=interval_ms,
        sent=sent,
        received=len(set(seqs)),
        duration_s=last - first + tail_s,
        gaps=tuple(sorted(gaps, key=lambda gap: -gap.ms)),
        clock="time stamps" if stamped else "sequence numbers",
        evidence=evidence,
    )


def _without_in_flight(sent: int, answered_up_to: int, replies: tuple[Reply, ...], interval_ms: float) -> int:
    """What was on its way when the ping was stopped is not lost: one, and as many as fit into a usual round trip."""
    usual = sorted(reply.ms for reply in replies)[len(replies) // 2]
    in_flight = sent - answered_up_to
    return answered_up_to if in_flight <= 1 + int(usual / interval_ms) else sent


def _time(reply: Reply, stamped: bool, interval_ms: float) -> float:
    return reply.at if stamped and reply.at is not None else reply.seq * interval_ms / 1000


def _gaps(times: list[float], first: float, over_ms: float) -> list[Gap]:
    return [Gap(a - first, round((b - a) * 1000, 3)) for a, b in itertools.pairwise(times) if (b - a) * 1000 > over_ms]


class OutsidePing:
    """iputils' ping from an outside host, read line by line as it runs. A context manager: leaving it stops it."""

    def __init__(self, host: OutsideHost, target: str, *, interval_ms: int = 10, longest_s: int = 600) -> None:
        self._shell = OutsideShell(host)
        self.target = target
        self.interval_ms = interval_ms
        # An end of its own: a prefix that does not pass our signal on must not leave a ping behind for ever.
        self.argv = ["ping", "-n", "-D", "-i", f"{interval_ms / 1000:g}", "-w", str(longest_s), target]
        self._lines: list[str] = []
        self._errors: list[str] = []
        self._answers = threading.Semaphore(0)
        self._last_at = 0.0
        self._child: process.Child | None = None
        self._threads: list[threading.Thread] = []
        self._began = 0.0

    def __enter__(self) -> OutsidePing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def start(self, deadline: Deadline) -> None:
        """Returns when it runs and was answered three times. Raises ProbeNotStarted, ToolMissing."""
        self._began = time.monotonic()
        child = self._child = self._shell.start(self.argv)
        for stream, into in ((child.stdout, self._lines), (child.stderr, self._errors)):
            assert stream is not None
            thread = threading.Thread(target=self._read, args=(stream, into), daemon=True)
            thread.start()
            self._threads.append(thread)
        with trace.span("probe", self._shell.place, f"continuous ping {self.target}", limit=deadline.remaining()):
            for _ in range(_BASELINE):
                while not self._answers.acquire(timeout=0.1):
                    if child.poll() is not None or deadline.expired:
                        self._end()
                        raise self._not_started()

    def stop(self) -> Downtime:
        """Ends the ping and says what it saw. Raises Inconclusive, ProbeNotStarted."""
        tail_s = time.monotonic() - self._last_at
        self._end()
        evidence = self._evidence()
        return measure(
            evidence.stdout,
            source=self._shell.place,
            target=self.target,
            interval_ms=self.interval_ms,
            tail_s=tail_s,
            evidence=evidence,
        )

    @property
    def silence_s(self) -> float:
        """How long nothing has come so far, in seconds; while it runs."""
        return time.monotonic() - self._last_at if self._last_at else 0.0

    def wait_answer(self, deadline: Deadline) -> bool:
        """Blocks until the next answer; False when none came by then. Call it before stop() so that a late recovery is
        measured, not cut."""
        while self._answers.acquire(blocking=False):
            pass
        return self._answers.acquire(timeout=max(0.001, deadline.remaining()))

    def _read(self, stream: object, into: list[str]) -> None:
        for raw in stream:  # type: ignore[attr-defined]
            line = raw.decode("utf-8", "replace")
            if parse_replies(line):
                self._last_at = time.monotonic()
                self._answers.release()
            into.append(line)

    def _end(self) -> None:
        child = self._child
        if child is None:
            return
        # ping prints its summary on SIGINT; a prefix (ssh) that dies of it without one is fine too.
        process.interrupt(child)
        process.wait(child, _END_S)
        process.stop(child)
        for thread in self._threads:
            thread.join(_END_S)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()

    def _evidence(self) -> CommandResult:
        code = self._child.returncode if self._child is not None and self._child.returncode is not None else -1
        argv = (*self._shell.host.exec, *self.argv)
        seconds = time.monotonic() - self._began
        return CommandResult(argv, self._shell.place, code, "".join(self._lines), "".join(self._errors), seconds)

    def _not_started(self) -> ProbeNotStarted:
        return ProbeNotStarted(
            f"a continuous ping to {self.target} with answers before the disturbance",
            str(self._evidence()),
            self._shell.place,
            "does it answer a plain ping from there?",
        )


class GuestPing:
    """A ping inside a guest, detached from the shell that starts it; its log is fetched at the end.

    busybox' ping has no time stamps: gaps are then counted in lost sequence numbers.
    """

    def __init__(self, shell: Shell, target: str, *, interval_ms: int = 200, longest_s: int = 600) -> None:
        self._shell = shell
        self.target = target
        self.interval_ms = interval_ms
        self._longest_s = longest_s
        self._log = ""
        self._pid = ""

    def start(self, deadline: Deadline) -> None:
        """Returns when it runs and its log has a first answer. Raises ProbeNotStarted, GuestUnreachable."""
        script = (
            'log=$(mktemp /tmp/virtlab-ping.XXXXXX) || exit 1; ping -n -i "$1" -w "$2" "$3" >"$log" 2>&1 </dev/null & '
            'echo "$! $log"'
        )
        argv = ["sh", "-c", script, "sh", f"{self.interval_ms / 1000:g}", str(self._longest_s), self.target]
        result = self._shell.run(argv, deadline=deadline)
        words = result.stdout.split()
        if not result.ok or len(words) != 2 or not words[0].isdigit():
            raise ProbeNotStarted("a ping in the guest", str(result), self._shell.place, "is there a ping, and a /tmp?")
        self._pid, self._log = words
        pause = Periodic(0.3, "a file in a guest announces nothing")
        while not parse_replies((log := self._read(deadline)).stdout):
            if deadline.expired:
                raise ProbeNotStarted(
                    "an answer before the disturbance", str(log), self._shell.place, "ping it plainly"
                )
            pause.wait(deadline.remaining())

    def stop(self, deadline: Deadline) -> Downtime:
        """Ends the ping, fetches and removes its log. Raises Inconclusive, ProbeNotStarted, GuestUnreachable."""
        script = (
            'kill -INT "$1" 2>/dev/null; n=0; '
            'while kill -0 "$1" 2>/dev/null && [ $n -lt 30 ]; do sleep 0.1; n=$((n+1)); done; cat "$2"; rm -f "$2"'
        )
        log = self._shell.run(["sh", "-c", script, "sh", self._pid, self._log], deadline=deadline)
        if parse_summary(log.stdout) is None:
            raise Inconclusive("the summary of the guest's ping", str(log), self._shell.place, "repeat it")
        return measure(
            log.stdout,
            source=self._shell.place,
            target=self.target,
            interval_ms=self.interval_ms,
            tail_s=None,
            evidence=log,
        )

    def _read(self, deadline: Deadline) -> CommandResult:
        return self._shell.run(["cat", self._log], deadline=deadline)
