"""A TCP stream that is open before a disturbance and must live on: a record each interval, both ways at once.

Each record has a number and the time at which it was sent, and each end notes when it came. An end is a shell in a
guest or a pod (nc carries the bytes), or this process behind an outside host's `connect` command. It judges nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from lab.core import clock
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, LabError, ProbeNotStarted, ToolMissing
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.guest.ssh import CommandLink
from lab.probes.clocks import Stretch, translate
from lab.probes.detached import Detached
from lab.probes.peer import Peer
from lab.probes.series import Frame, Series, series
from lab.probes.toolbox import Toolbox

# $1: interval in s, $2: port to wait for until somebody listens on it (0: none), $3...: what carries the bytes.
# The log gets `up`, then each record with the time at which it came, then `end` when the other side is gone. A listener
# sends nothing before it has heard something: a pipe would keep it, and its times would say nothing of the network.
END = r"""
i=$1 port=$2; shift 2
trap '' PIPE
mkfifo out pace || exit 1
{ "$@" <out & echo $! >pids; wait; } | {
  while read -r l; do [ -e go ] || : >go; echo "$EPOCHREALTIME $l"; done
  echo "$EPOCHREALTIME end"
} &
exec 8>out 9<>pace
if [ "$port" -gt 0 ]; then
  hex=$(printf %04X "$port")
  until grep -q ":$hex 0*:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null; do read -r -t 0.05 x <&9; done
else : >go; fi
echo up
until [ -e go ]; do read -r -t 0.05 x <&9; done
n=0
while echo "$n $EPOCHREALTIME" >&8; do n=$((n+1)); read -r -t "$i" x <&9; done
"""
INTERVAL_MS = 50.0
_RECOVERY_S = 10.0
_OLDEST, _PORTS = 20000, 10000


def some_port() -> int:
    """A port that hardly anybody uses."""
    return _OLDEST + secrets.randbelow(_PORTS)


def carrier(tools: Toolbox, host: str, port: int) -> list[str]:
    """What joins stdin and stdout to a TCP connection to *host*, or to one that is waited for (host ""): nc of any
    flavour, else socat, else bash (which can only connect). Raises ToolMissing."""
    if host and tools.nc:
        return ["nc", host, str(port)]
    if tools.nc:
        return ["nc", "-l", "-p", str(port)] if tools.nc in ("busybox", "traditional") else ["nc", "-l", str(port)]
    if "socat" in tools.has:
        there = f"TCP:[{host}]:{port}" if ":" in host else f"TCP:{host}:{port}"
        return ["socat", "-", there if host else f"TCP-LISTEN:{port},reuseaddr"]
    if host and "bash" in tools.has:
        return ["bash", "-c", 'exec 3<>"/dev/tcp/$1/$2"; cat <&3 & exec cat >&3', "bash", host, str(port)]
    wanted = "nc or socat to listen" if not host else "nc, socat or bash to connect"
    raise ToolMissing(f"{wanted} for a TCP stream", "none of them", tools.place, "an image with nc")


class PlaceEnd:
    """An end in a guest or a pod. listen() or connect(), then stop()."""

    def __init__(self, shell: Shell, tools: Toolbox, *, interval_ms: float = INTERVAL_MS) -> None:
        self.shell = shell
        self._tools = tools
        self._interval_s = interval_ms / 1000
        self._detached = Detached(shell, "one end of a TCP stream")
        self.log: CommandResult | None = None
        self.began = self.ended = 0.0

    def listen(self, port: int, deadline: Deadline) -> None:
        """Returns when it listens. Raises ProbeNotStarted, ToolMissing, GuestUnreachable."""
        self._start(port, carrier(self._tools, "", port), "up", deadline)

    def connect(self, host: str, port: int, deadline: Deadline) -> None:
        """Returns when a record came from the other end. Raises the same."""
        self._start(0, carrier(self._tools, host, port), " 0 [0-9]", deadline)

    def _start(self, port: int, words: Sequence[str], running: str, deadline: Deadline) -> None:
        if not self._tools.clock:
            raise ToolMissing(
                "a shell that knows the time (bash 5, busybox)", "none", self._tools.place, "install bash"
            )
        self.began = clock.now()
        argv = [*self._tools.clock, "-c", END, "sh", f"{self._interval_s:g}", str(port), *words]
        self._detached.start(argv, running=running, deadline=deadline)

    def stop(self, deadline: Deadline, *, wait_s: float = 0.0) -> None:
        """Raises Inconclusive, GuestUnreachable."""
        self.ended = clock.now()
        self.log = self._detached.stop(more=" [0-9]* [0-9]", wait_s=wait_s, signal="TERM", deadline=deadline)


class Records:
    """What came at one end, in columns: number, stamp of the sender, stamp of the receiver; and when it saw the end."""

    def __init__(self, seqs: list[int], sent: list[float], came: list[float], over: float | None = None) -> None:
        self.seqs, self.sent, self.came, self.over = seqs, sent, came, over


def read_records(text: str) -> Records:
    """The log of END; lines that are no records are left out (the last one may be cut)."""
    found = Records([], [], [])
    for line in text.splitlines():
        words = line.split()
        try:
            if len(words) == 2 and words[1] == "end":
                found.over = float(words[0])
            elif len(words) == 3:
                came, seq, sent = float(words[0]), int(words[1]), float(words[2])
                found.came.append(came)
                found.seqs.append(seq)
                found.sent.append(sent)
        except ValueError:
            continue
    return found


def direction(frame: Frame, got: Records, theirs: Sequence[Stretch], ours: Sequence[Stretch]) -> Series:
    """One direction as a series: *theirs* is the sender's clock, *ours* the receiver's; () is the harness' own.

    Raises Inconclusive when nothing came at all."""
    if not got.seqs:
        raise Inconclusive(f"records of tcp {frame.place} -> {frame.target}", "none came", frame.target, "repeat it")
    came = translate(got.came, ours) if ours else None
    sent = translate(got.sent, theirs) if theirs else None
    times = came.times if came else got.came
    trips = [max(0.0, (b - a) * 1000) for a, b in zip(sent.times if sent else got.sent, times, strict=True)]
    full = replace(
        frame,
        began=times[0],
        ended=max(frame.ended, times[-1]),
        clock_error_ms=came.error_ms if came else 0.0,
        gap_error_ms=came.step_error_ms if came else 0.0,
        remarks=(*frame.remarks, *(f"{frame.target}: {remark}" for remark in (came.remarks if came else ()))),
    )
    return series(full, got.seqs, times, trips)


def of_peer(peer: Peer) -> Records:
    """What came at our own end."""
    return read_records("\n".join(f"{at:.6f} {line}" for at, line in peer.arrivals))


class OutsideStream:
    """Between an outside host (`connect` is its command, with {host} and {port} filled in) and a guest that listens."""

    kind = "tcp"

    def __init__(
        self, connect: Sequence[str], outside: str, shell: Shell, address: str, tools: Toolbox, *, name: str
    ) -> None:
        self.shell = shell
        self.name = name
        self._outside = outside
        self._connect = connect
        self._address = address
        self._end = PlaceEnd(shell, tools)
        self._link: CommandLink | None = None
        self._peer: Peer | None = None

    @property
    def title(self) -> str:
        return f"tcp {self._outside} <-> {self.name}"

    def start(self, deadline: Deadline) -> None:
        """Returns when records came at our end. Raises ProbeNotStarted, ToolMissing, GuestUnreachable."""
        port = some_port()
        self._end.listen(port, deadline)
        self._link = CommandLink(self._connect, self._address, port)
        self._peer = Peer(self._link.sock, INTERVAL_MS)
        if not self._peer.start(deadline.sub(_RECOVERY_S)):
            said = self._peer.broke or "no record came"
            complaint = self._link.complaint() if self._peer.broke else ""
            self._peer.stop()
            self._link.close()
            self._end.stop(deadline)
            raise ProbeNotStarted(
                f"{self.title}, open", f"{said} {complaint}".strip(), self._outside, "is a firewall up in the guest?"
            )

    def stop(self, deadline: Deadline) -> None:
        """Waits for one more record, 10 s at most, and ends it. Raises Inconclusive, GuestUnreachable."""
        assert self._peer is not None
        assert self._link is not None
        self._peer.wait_line(deadline.sub(_RECOVERY_S))
        self._peer.stop()
        try:
            self._end.stop(deadline)
        finally:
            self._link.close()

    def read(self, stretches: Sequence[Stretch]) -> tuple[Series, Series]:
        """From the outside host to the guest, and back. Raises Inconclusive."""
        peer, log = self._peer, self._end.log
        assert peer is not None
        assert log is not None
        there, here = read_records(log.stdout), of_peer(peer)
        broke, at = peer.broke, peer.broke_at
        out = Frame("tcp", self._outside, self.name, INTERVAL_MS, 0, peer.ended, peer.sent, broke=broke, broke_at=at)
        back = Frame("tcp", self.name, self._outside, INTERVAL_MS, 0, peer.ended, broke=broke, broke_at=at)
        return direction(out, there, (), stretches), direction(back, here, stretches, ())


class PlaceStream:
    """Between two guests (or pods): one listens at *address*, the other connects."""

    kind = "tcp"

    def __init__(
        self, client: Shell, server: Shell, address: str, tools: tuple[Toolbox, Toolbox], names: tuple[str, str]
    ):
        self.client, self.server = client, server
        self.names = names
        self._address = address
        self._ends = PlaceEnd(client, tools[0]), PlaceEnd(server, tools[1])

    @property
    def title(self) -> str:
        return f"tcp {self.names[0]} <-> {self.names[1]}"

    def start(self, deadline: Deadline) -> None:
        """Returns when records come at the client. Raises ProbeNotStarted, ToolMissing, GuestUnreachable."""
        client, server = self._ends
        port = some_port()
        server.listen(port, deadline)
        try:
            client.connect(self._address, port, deadline)
        except LabError:
            server.stop(deadline)
            raise

    def stop(self, deadline: Deadline) -> None:
        """Waits for one more record at the client, 10 s at most, and ends both.

        Raises Inconclusive, GuestUnreachable."""
        client, server = self._ends
        client.stop(deadline, wait_s=_RECOVERY_S)
        server.stop(deadline)

    def read(self, client: Sequence[Stretch], server: Sequence[Stretch]) -> tuple[Series, Series]:
        """From the client to the server, and back. Raises Inconclusive."""
        logs = [end.log for end in self._ends]
        assert logs[0] is not None
        assert logs[1] is not None
        at_client, at_server = read_records(logs[0].stdout), read_records(logs[1].stdout)
        ended = self._ends[0].ended
        broke, at = "", 0.0
        for got, clock_of, place in ((at_client, client, self.names[0]), (at_server, server, self.names[1])):
            over = translate([got.over], clock_of[-1:]).times[0] if got.over is not None and clock_of else None
            if over is not None and over < ended:
                broke, at = f"{place} saw its end", over
        a, b = self.names
        out = Frame("tcp", a, b, INTERVAL_MS, 0, ended, broke=broke, broke_at=at)
        return direction(out, at_server, client, server), direction(
            replace(out, place=b, target=a), at_client, server, client
        )
