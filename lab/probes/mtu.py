"""The largest packet that passes a path in one piece: don't-fragment set, sizes by binary search.

By iputils' ping. busybox has nothing that forbids fragments (its traceroute takes -F, and sends them all the same), but
Linux forbids them by itself in whatever fits into the interface: so by any traceroute up to that size, no further. A
size is too large when that is said, or when nothing comes back for it three times while smaller ones are answered: a
black hole, which is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ToolMissing
from lab.core.numerals import whole
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import started
from lab.probes.ping import parse_ping
from lab.probes.toolbox import Toolbox

SMALLEST, SMALLEST_V6, LARGEST = 576, 1280, 9216
TRIES = 3
_HOP = 30
_TOO_LONG = re.compile(r"message too long|frag(?:mentation)? needed|packet too big|!F", re.I)
_ANSWERED = re.compile(rf"^\s*{_HOP}\s+\S+.*\d ms", re.M)
_SILENT = re.compile(rf"^\s*{_HOP}\s+\*", re.M)
OWN = '''dev=$(ip route get "$1" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1); cat "/sys/class/net/$dev/mtu"'''
"""The MTU of the interface that leads to $1."""


class Fits(Enum):
    """What became of one size."""

    YES = "passed"
    NO = "too long"
    SILENT = "silence"


@dataclass(frozen=True)
class PathMtu:
    """`mtu` in bytes, the IP header included. `black_hole` when nobody said that larger ones are too long."""

    source: str
    target: str
    mtu: int
    black_hole: bool
    tool: str

    def __str__(self) -> str:
        hole = ", larger ones vanish without a word" if self.black_hole else ""
        return f"path MTU {self.source} -> {self.target}: {self.mtu} bytes (by {self.tool}){hole}"


def mtu_command(tools: Toolbox, target: str, size: int) -> list[str]:
    """The argv that sends one packet of *size* bytes with don't-fragment. Raises ToolMissing."""
    v6 = ":" in target
    if tools.ping == "iputils":
        return ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size - (48 if v6 else 28)), target]
    if "traceroute" not in tools.has:
        raise ToolMissing("iputils' ping or a traceroute for the path MTU", "neither", tools.place, "an image with one")
    words = ["traceroute", "-n", "-q", "1", "-w", "1", "-f", str(_HOP), "-m", str(_HOP), target, str(size)]
    # It opens a raw socket, which is root's.
    return ["sudo", "-n", *words] if "sudo" in tools.has else words


def read_size(result: CommandResult) -> Fits | None:
    """What became of one size; None when that cannot be told. Raises ProbeNotStarted for exit status 126 and 127."""
    started(result, "ping or traceroute")
    if _TOO_LONG.search(result.output):
        return Fits.NO
    if (statistics := parse_ping(result.stdout)) is not None:
        return Fits.YES if statistics.received else Fits.SILENT
    if _ANSWERED.search(result.stdout):
        return Fits.YES
    return Fits.SILENT if _SILENT.search(result.stdout) else None


def own_mtu(result: CommandResult) -> int:
    """What OWN printed. Raises Inconclusive."""
    found = whole(result.stdout.strip())
    if not result.ok or found is None:
        raise Inconclusive("the MTU of the interface on the way", str(result), result.place, "is iproute2's ip there?")
    return found


def search(fits: Callable[[int], Fits], low: int, high: int) -> tuple[int, bool]:
    """The largest size that passes, and whether only silence tells of larger ones. *low* is known to pass."""
    silent = spoken = False
    while low < high:
        middle = (low + high + 1) // 2
        found = fits(middle)
        if found is Fits.YES:
            low = middle
        else:
            high = middle - 1
            spoken |= found is Fits.NO
            silent |= found is Fits.SILENT
    return low, silent and not spoken


def path_mtu(shell: Shell, tools: Toolbox, target: str, *, largest: int = LARGEST, deadline: Deadline) -> PathMtu:
    """Raises Inconclusive (the smallest size gets no answer, or an output says nothing), ToolMissing, ProbeNotStarted,
    GuestUnreachable."""
    smallest, exact = SMALLEST_V6 if ":" in target else SMALLEST, tools.ping == "iputils"

    def fits(size: int) -> Fits:
        for _ in range(TRIES):
            result = shell.run(mtu_command(tools, target, size), deadline=deadline)
            found = read_size(result)
            if found is None:
                raise Inconclusive(f"what became of {size} bytes to {target}", str(result), shell.place)
            if found is Fits.NO and not exact:
                # Now the kernel knows the path's MTU, and cuts whatever is larger into fragments.
                raise Inconclusive(f"the path MTU to {target}", f"{size} is too long: {result.output}", shell.place)
            if found is not Fits.SILENT:
                return found
        return Fits.SILENT

    with trace.span("probe", shell.place, f"path MTU to {target}", limit=deadline.remaining()) as span:
        if not exact:
            largest = min(largest, own_mtu(shell.run(["sh", "-c", OWN, "sh", target], deadline=deadline)))
        if fits(smallest) is not Fits.YES:
            raise Inconclusive(
                f"{smallest} bytes to pass from {shell.place} to {target}", "no answer", shell.place, "ping it plainly"
            )
        size, hole = search(fits, smallest, largest)
        tool = "ping" if exact else "traceroute, since its ping cannot forbid fragments; no further than its interface"
        seen = PathMtu(shell.place, target, size, hole, tool)
        span.observed(str(seen))
        return seen
