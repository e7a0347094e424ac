"""Many TCP flows at once to one host, each of which must bring the same number of bytes: what a bond spreads.

A single ping never shows it: it takes the same NIC for ever. The far side is a busybox nc that sends zeros to whoever
connects; what arrives is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive
from lab.core.numerals import whole
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import started

PORT, BYTES = 7000, 32768
SERVE = ("nc", "-ll", "-p", str(PORT), "-e", "head", "-c", str(BYTES), "/dev/zero")
"""The command of the far side (busybox' nc, with -ll and -e as its default configuration has them)."""
_SCRIPT = """command -v nc >/dev/null && command -v timeout >/dev/null || exit 127
for flow in $(seq "$1"); do (timeout "$2" nc -w "$2" "$3" "$4" </dev/null 2>/dev/null | wc -c) & done; wait"""


@dataclass(frozen=True)
class Flows:
    """Flows from one place to one host: how many were tried, how many brought all their bytes, and how many bytes each
    of the others did."""

    source: str
    target: str
    tried: int
    whole: int
    short: tuple[int, ...]
    evidence: CommandResult

    @property
    def passed(self) -> bool:
        return self.whole == self.tried

    def __str__(self) -> str:
        cut = f", {len(self.short)} brought less ({', '.join(map(str, self.short[:4]))} bytes)" if self.short else ""
        return f"flows {self.source} -> {self.target}: {self.whole} of {self.tried} brought {BYTES} bytes{cut}"


def read_flows(result: CommandResult, source: str, target: str, tried: int) -> Flows:
    """Pure. Raises ProbeNotStarted for exit status 126 and 127, Inconclusive when not every flow was counted."""
    started(result, "nc and timeout")
    counts = [count for count in map(whole, result.stdout.split()) if count is not None]
    if not result.ok or len(counts) != tried:
        raise Inconclusive(
            f"a count of bytes for each of {tried} flows from {source} to {target}",
            f"{len(counts)} counts, exit status {result.exit_code}: {result.output.strip()[-200:]!r}",
            source,
            "repeat it",
        )
    short = tuple(sorted(count for count in counts if count != BYTES))
    return Flows(source, target, tried, tried - len(short), short, result)


def flows(shell: Shell, target: str, *, count: int = 16, wait_s: int = 3, deadline: Deadline) -> Flows:
    """*count* flows at once from a shell to a host that serves as :data:`SERVE` does.

    A flow that has not ended after *wait_s* counts with what it brought. Raises ProbeNotStarted, Inconclusive, and as
    Shell.run.
    """
    argv = ["sh", "-c", _SCRIPT, "sh", str(count), str(wait_s), target, str(PORT)]
    with trace.span("probe", shell.place, f"{count} flows to {target}", limit=deadline.remaining()) as span:
        seen = read_flows(shell.run(argv, deadline=deadline), shell.place, target, count)
        span.observed(str(seen))
        return seen
