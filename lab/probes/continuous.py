"""A ping that goes on while something is done to the network, in a guest, in a pod or on an outside host.

It runs apart from the session that started it. Its numbers are those of `series`; which gap is too long, a step says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from contextlib import suppress

from lab.core import clock
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.clocks import Stretch, Translation, translate
from lab.probes.detached import OVER, Detached
from lab.probes.ping import parse_replies, parse_summary
from lab.probes.replies import Replies, read_replies
from lab.probes.series import Frame, Series, series
from lab.probes.toolbox import Toolbox

# A shell that knows the time stamps each line of a ping that does not, until the ping is started with $@ and answered;
# what it stamps with from then on is put in for STAMPER.
STAMPED = """{ "$@" 2>&1 & echo $! >pids; wait; } | {
read -r l; echo "$EPOCHREALTIME $l"; read -r l; echo "$EPOCHREALTIME $l"; STAMPER; }"""
BY_SHELL = 'while read -r l; do echo "$EPOCHREALTIME $l"; done'
BY_TS = "exec ts %.s"
"""busybox' or moreutils': a shell reads a pipe byte by byte, which costs a guest as much again as half of its ping."""
ANSWERED, ANSWER = "bytes from *seq=", "bytes from .*seq="
"""The first answer as a pattern of the shell's, and any as one of grep's."""
SMALLEST_MS = 200
"""What older iputils allow a user who is not root."""
LATE_MS = 20.0
"""What a guest may see late without a word."""
_RECOVERY_S = 10.0
_END = 2000
_STAMPED_SUMMARY = re.compile(r"^(\d{1,12}\.\d+) \d+ packets transmitted", re.M)
_LASTED = re.compile(r"packet loss, time (\d{1,12})ms")


def ping_words(tools: Toolbox, target: str, interval_ms: float, longest_s: int, *, root: bool = False) -> list[str]:
    """The argv of an endless ping with a time stamp on each answer, as far as the place can make one."""
    words = ["ping", "-n"] if tools.ping != "busybox" else ["ping"]
    words += ["-D"] if tools.ping == "iputils" else []
    # An end of its own: a harness that dies must not leave a ping behind for ever.
    words += ["-i", f"{interval_ms / 1000:g}", "-w", str(longest_s), target]
    words = ["sudo", "-n", *words] if root else words
    if tools.ping == "iputils" or not tools.clock:
        return words
    stamped = STAMPED.replace("STAMPER", BY_TS if "ts" in tools.has else BY_SHELL)
    return [*tools.clock, "-c", stamped, "sh", *words]


class ContinuousPing:
    """One ping from one place. start(), whatever is to be measured, stop(), and then read() with the place's clock."""

    kind = "ping"

    def __init__(
        self,
        shell: Shell,
        target: str,
        tools: Toolbox,
        *,
        place: str = "",
        name: str = "",
        interval_ms: float = 10,
        longest_s: int = 600,
    ) -> None:
        self.shell = shell
        self.place = place or shell.place
        self.target = target
        self.name = name or target
        self.interval_ms = interval_ms
        self._tools = tools
        self._longest_s = longest_s
        self._detached = Detached(shell, f"a continuous ping to {target}")
        self._remarks: list[str] = []
        self._began = self._ended = 0.0
        self._log: CommandResult | None = None

    @property
    def title(self) -> str:
        return f"ping {self.place} -> {self.name}"

    def start(self, deadline: Deadline) -> None:
        """Returns when it runs and was answered. Raises ProbeNotStarted, ToolMissing, GuestUnreachable."""
        self._tools.first("a ping", "ping")
        if self._tools.ping == "other" or not (self._tools.clock or self._tools.ping == "iputils"):
            self._remarks.append("no time stamps there: gaps are counted in lost packets")
        try:
            self._try(self.interval_ms, deadline)
        except ProbeNotStarted as error:
            if "minimal interval" not in error.found:
                raise
            self._try_slower(deadline)

    def _try(self, interval_ms: float, deadline: Deadline, *, root: bool = False) -> None:
        words = ping_words(self._tools, self.target, interval_ms, self._longest_s, root=root)
        self._began = clock.now()
        self._detached.start(words, running=ANSWERED, deadline=deadline)
        self.interval_ms = interval_ms

    def _try_slower(self, deadline: Deadline) -> None:
        """An iputils that keeps short intervals to root: as root if the user may, else as often as it allows."""
        if "sudo" in self._tools.has:
            with suppress(ProbeNotStarted):
                self._try(self.interval_ms, deadline, root=True)
                return
        self._remarks.append(f"its ping allows this user no interval below {SMALLEST_MS} ms")
        self._try(SMALLEST_MS, deadline)

    def stop(self, deadline: Deadline) -> None:
        """Waits until it is answered once more, 10 s at most, ends it and fetches its log.

        Raises Inconclusive, GuestUnreachable."""
        wait_s = min(_RECOVERY_S, deadline.remaining() / 2)
        self._log = self._detached.stop(more=ANSWER, wait_s=wait_s, deadline=deadline)
        self._ended = clock.now()

    def read(self, stretches: Sequence[Stretch]) -> Series:
        """What was seen, in the harness' time. Raises Inconclusive (the log contradicts itself, or is none)."""
        assert self._log is not None
        if OVER in self._log.stderr and parse_summary(self._log.stdout[-_END:]) is None:
            raise Inconclusive(
                f"{self.title} to go on until it was stopped",
                f"{OVER}, without a summary: {self._log.stderr.strip()[-_END:]}",
                self.place,
                "what ended it (out of memory, somebody else, a restart)? repeat it",
            )
        return read_log(
            self._log.stdout,
            stretches,
            Frame(self.kind, self.place, self.name, self.interval_ms, self._began, self._ended),
            tuple(self._remarks),
        )


def read_log(text: str, stretches: Sequence[Stretch], frame: Frame, remarks: tuple[str, ...] = ()) -> Series:
    """A continuous ping's log as numbers; pure.

    Raises Inconclusive for a text that is no such log, and for one whose summary contradicts its lines."""
    # A summary is what a log ends with: looking for it in ten minutes of answers takes longer than reading them.
    end = text[-_END:]
    summary, replies = parse_summary(end), read_replies(text)
    stamped = bool(replies.seq)
    if not stamped:
        replies = _by_number(text, frame)
    if not replies.seq:
        raise Inconclusive(
            f"answers in the log of ping {frame.place} -> {frame.target}", repr(text[-300:]), frame.place, "repeat it"
        )
    first = 1 if "icmp_seq=" in text else 0
    if summary is not None:
        _agree(summary[0], summary[1], len(set(replies.seq)), text, frame)
    here = Translation(replies.at, frame.interval_ms, 0.0, ())
    if stamped and stretches:
        here = translate(replies.at, stretches, replies.seq)
    times, said = here.times, (*remarks, *(f"{frame.place}: {remark}" for remark in here.remarks))
    # Of an answer that took long to be seen nobody can tell whether it came before a pause or after it.
    late = trips_beside_the_gap(times, replies.ms) if here.step_error_ms else 0.0
    if late > LATE_MS:
        said = (*said, f"{frame.place}: the answers beside its longest silence took {late:.0f} ms to be seen")
    full = Frame(
        kind=frame.kind,
        place=frame.place,
        target=frame.target,
        interval_ms=frame.interval_ms,
        began=times[0] - replies.ms[0] / 1000,
        ended=max(times[-1], _end(end, times, stretches, frame, summary[0] if summary and not stamped else None)),
        sent=summary[0] if summary is not None else None,
        first=first,
        clock_error_ms=here.error_ms,
        gap_error_ms=here.step_error_ms + late,
        remarks=said if summary is not None else (*said, "it was ended without a summary: what it sent is estimated"),
    )
    return series(full, replies.seq, times, replies.ms)


def _agree(sent: int, received: int, answers: int, text: str, frame: Frame) -> None:
    """Fewer lines than the ping says that it had answers are a log that lost some, not a network that did."""
    if not received <= answers <= sent:
        raise Inconclusive(
            f"the summary of ping {frame.place} -> {frame.target} to match its lines",
            f"{answers} answers, and: {text[-300:]!r}",
            frame.place,
            "repeat it",
        )


def trips_beside_the_gap(times: Sequence[float], trips_ms: Sequence[float]) -> float:
    """The round trips, in ms, of the two answers between which nothing came for longest, together: what stamps an
    answer runs about as late as the ping that saw it."""
    beside = sorted(zip(times, trips_ms, strict=True))
    pairs = max(itertools.pairwise(beside), key=lambda pair: pair[1][0] - pair[0][0], default=())
    return sum(trip for _, trip in pairs)


def _by_number(text: str, frame: Frame) -> Replies:
    """Answers without stamps: each counts as having come when its number was due."""
    plain = parse_replies(text)
    base = plain[0].seq if plain else 0
    step = frame.interval_ms / 1000
    return Replies([r.seq for r in plain], [frame.began + (r.seq - base) * step for r in plain], [r.ms for r in plain])


def _end(text: str, times: Sequence[float], stretches: Sequence[Stretch], frame: Frame, sent: int | None) -> float:
    """When the ping itself ended: by its number without stamps, by the stamp before its summary, else by the time that
    the summary names."""
    if sent is not None:
        return frame.began + (sent - 1) * frame.interval_ms / 1000
    if found := _STAMPED_SUMMARY.search(text):
        stamp = float(found[1])
        return translate([stamp], stretches[-1:]).times[0] if stretches else stamp
    if found := _LASTED.search(text):
        return times[0] + int(found[1]) / 1000
    return max(frame.ended, times[-1])
