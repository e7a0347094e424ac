"""How fast a path carries one TCP connection: by iperf3 where both places have it, else by dd over nc.

A figure to compare with another of the same two places, not a benchmark of the network.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, Inconclusive
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.detached import Detached
from lab.probes.observation import started
from lab.probes.stream import carrier, some_port
from lab.probes.toolbox import Toolbox

MEBIBYTE = 2**20
_ARRIVED = re.compile(r"^arrived (\d{1,18})$", re.M)
_TOOK = re.compile(r"^took (\d{1,18}(?:\.\d+)?) (\d{1,18}(?:\.\d+)?)$", re.M)
# $1: port; $2...: what listens. It says `up` when somebody does, then how many bytes arrived. Its input is a pipe that
# never ends: an nc that has nothing more to send tells the other side so, whose nc ends on that.
SINK = r"""
port=$1; shift
mkfifo hold || exit 1
{ "$@" <>hold & echo $! >pids; wait; } | wc -c | sed 's/^ */arrived /' &
hex=$(printf %04X "$port")
until grep -q ":$hex 0*:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null; do sleep 0.05; done
echo up
wait
"""
# $1: MiB; $2...: what connects. The time is taken around it: not every busybox' dd says how long it took.
SOURCE = """n=$1; shift; t() { echo "${EPOCHREALTIME:-$(date +%s.%N)}"; }; b=$(t)
dd if=/dev/zero bs=65536 count=$((n*16)) 2>/dev/null | "$@" >/dev/null; echo took $b $(t)"""


@dataclass(frozen=True)
class Throughput:
    """`mbit_s` in 10^6 bits a second, from `source` to `target`, over `sent` bytes; `tool` says how it was measured."""

    source: str
    target: str
    mbit_s: float
    sent: int
    tool: str

    def __str__(self) -> str:
        speed = f"{self.mbit_s:.0f} Mbit/s over {self.sent / MEBIBYTE:.0f} MiB"
        return f"{self.source} -> {self.target}: {speed} ({self.tool})"


def read_counted(source: str, sink: str) -> tuple[int, float] | None:
    """(bytes that arrived, seconds) of what SOURCE and SINK say; None when one of them says nothing of the sort."""
    arrived, took = _ARRIVED.findall(sink), _TOOK.findall(source)
    if len(arrived) != 1 or len(took) != 1 or (seconds := float(took[0][1]) - float(took[0][0])) <= 0:
        return None
    return int(arrived[0]), seconds


def read_iperf(text: str) -> tuple[int, float] | None:
    """(bytes, seconds) as received, of `iperf3 -J`; None when it is no such report, or one of an error."""
    try:
        got = json.loads(text)["end"]["sum_received"]
        sent, seconds = int(got["bytes"]), float(got["seconds"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return (sent, seconds) if 0 < seconds < math.inf else None


def throughput(
    client: Shell, server: Shell, address: str, tools: tuple[Toolbox, Toolbox], *, mib: int = 16, deadline: Deadline
) -> Throughput:
    """From *client* to *server*, which is reached at *address*; 0 Mbit/s when it had no end within half of the time.

    Raises ToolMissing, ProbeNotStarted, Inconclusive, GuestUnreachable."""
    port = some_port()
    both = all("iperf3" in box.has for box in tools)
    job = Detached(server, "a server for the throughput")
    if both:
        listening = ["iperf3", "-s", "-1", "-p", str(port)]
        argv = ["iperf3", "-c", address, "-p", str(port), "-n", f"{mib}M", "-J"]
        job.start(listening, running="listening", deadline=deadline)
    else:
        listening = ["sh", "-c", SINK, "sh", str(port), *carrier(tools[1], "", port)]
        argv = ["sh", "-c", SOURCE, "sh", str(mib), *carrier(tools[0], address, port)]
        job.start(listening, running="up", deadline=deadline)
    with trace.span("probe", client.place, f"throughput to {address}", limit=deadline.remaining()) as span:
        result, wanted = None, deadline.sub(deadline.remaining() / 2)
        try:
            with suppress(EnvironmentTimeout):
                result = started(client.run(argv, deadline=wanted), argv[0])
        finally:
            log = job.stop(more="" if both or result is None else "arrived", wait_s=2, signal="TERM", deadline=deadline)
        seen = (
            Throughput(client.place, server.place, 0.0, 0, f"it had no end within {wanted.total:.0f} s")
            if result is None
            else _judged(result, log, client.place, server.place, both)
        )
        span.observed(str(seen))
        return seen


def _judged(result: CommandResult, log: CommandResult, source: str, target: str, both: bool) -> Throughput:
    found = read_iperf(result.stdout) if both else read_counted(result.stdout, log.stdout)
    if found is None or not found[0]:
        raise Inconclusive(
            f"a throughput from {source} to {target}", f"{result}\nthere: {log.output}", source, "repeat it"
        )
    tool = "iperf3" if both else "dd over nc, since iperf3 is not in both places"
    return Throughput(source, target, found[0] * 8 / found[1] / 1e6, found[0], tool)
