"""A stream of UDP datagrams, one way: a numbered, stamped record each interval, and the time at which each came.

TCP hides what gets lost; here every record that does not come is missing, one that comes twice is there twice. The
receiver needs nc or socat (busybox' nc knows no UDP), the sender those or bash.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.core import clock
from lab.core.deadline import Deadline
from lab.core.errors import LabError, ToolMissing
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.clocks import Stretch
from lab.probes.detached import Detached
from lab.probes.series import Frame, Series
from lab.probes.stream import direction, read_records, some_port
from lab.probes.toolbox import Toolbox

INTERVAL_MS = 10.0
_RECOVERY_S = 10.0
# $1: port; $2...: what listens. A UDP socket that is open has state 07 in the kernel's table.
SINK = r"""
port=$1; shift
mkfifo pace || exit 1
{ "$@" </dev/null & echo $! >pids; wait; } | while read -r l; do echo "$EPOCHREALTIME $l"; done &
hex=$(printf %04X "$port")
until grep -q ":$hex 0*:0000 07" /proc/net/udp /proc/net/udp6 2>/dev/null; do read -r -t 0.05 x <>pace; done
echo up
wait
"""
# $1: interval in s; $2...: what sends.
SOURCE = r"""
i=$1; shift
trap '' PIPE
mkfifo out pace || exit 1
"$@" <out & echo $! >pids
exec 8>out 9<>pace
echo up
n=0
while echo "$n $EPOCHREALTIME" >&8; do n=$((n+1)); read -r -t "$i" x <&9; done
"""


def receiver(tools: Toolbox, port: int) -> list[str]:
    """What hands over datagrams that come to a port. Raises ToolMissing."""
    if tools.nc in ("openbsd", "ncat"):
        return ["nc", "-u", "-l", str(port)]
    if tools.nc == "traditional":
        return ["nc", "-u", "-l", "-p", str(port)]
    if "socat" in tools.has:
        return ["socat", "-u", f"UDP-RECV:{port}", "-"]
    raise ToolMissing("an nc with UDP, or socat, to receive datagrams", tools.nc or "none", tools.place, "ping instead")


def sender(tools: Toolbox, host: str, port: int) -> list[str]:
    """What sends each line that it reads as a datagram. Raises ToolMissing."""
    if "bash" in tools.has:
        lines = 'exec 3<>"/dev/udp/$1/$2"; while read -r l; do echo "$l" >&3; done'
        return ["bash", "-c", lines, "bash", host, str(port)]
    if tools.nc in ("openbsd", "ncat", "traditional"):
        return ["nc", "-u", host, str(port)]
    if "socat" in tools.has:
        there = f"[{host}]" if ":" in host else host
        return ["socat", "-u", "-", f"UDP-SENDTO:{there}:{port}"]
    raise ToolMissing("bash, an nc with UDP, or socat, to send datagrams", tools.nc or "none", tools.place)


class Datagrams:
    """From one place to another, at *address*. start(), stop(), read()."""

    kind = "udp"

    def __init__(
        self, source: Shell, sink: Shell, address: str, tools: tuple[Toolbox, Toolbox], names: tuple[str, str]
    ) -> None:
        self.names = names
        self._address = address
        self._tools = tools
        self._source = Detached(source, "a stream of datagrams")
        self._sink = Detached(sink, "a receiver of datagrams")
        self._log: CommandResult | None = None
        self._ended = 0.0

    @property
    def title(self) -> str:
        return f"udp {self.names[0]} -> {self.names[1]}"

    def start(self, deadline: Deadline) -> None:
        """Returns when both run. Raises ProbeNotStarted, ToolMissing, GuestUnreachable."""
        port = some_port()
        for box in self._tools:
            if not box.clock:
                raise ToolMissing("a shell that knows the time (bash 5, busybox)", "none", box.place, "install bash")
        argv = [*self._tools[1].clock, "-c", SINK, "sh", str(port), *receiver(self._tools[1], port)]
        words = sender(self._tools[0], self._address, port)
        self._sink.start(argv, running="up", deadline=deadline)
        try:
            argv = [*self._tools[0].clock, "-c", SOURCE, "sh", f"{INTERVAL_MS / 1000:g}", *words]
            self._source.start(argv, running="up", deadline=deadline)
        except LabError:
            self._sink.stop(deadline=deadline)
            raise

    def stop(self, deadline: Deadline) -> None:
        """Waits for one more record, 10 s at most, and ends both. Raises Inconclusive, GuestUnreachable."""
        self._ended = clock.now()
        self._log = self._sink.stop(more=" [0-9]* [0-9]", wait_s=_RECOVERY_S, signal="TERM", deadline=deadline)
        self._source.stop(signal="TERM", deadline=deadline)

    def read(self, source: Sequence[Stretch], sink: Sequence[Stretch]) -> Series:
        """What came, by the clocks of both places. Raises Inconclusive when nothing did."""
        assert self._log is not None
        frame = Frame("udp", *self.names, INTERVAL_MS, 0, self._ended)
        return direction(frame, read_records(self._log.stdout), source, sink)
