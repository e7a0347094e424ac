"""Somebody who answers, for as long as one look takes: an HTTP server of shell and nc, a DNS server that is dnsmasq.

They serve the probe that asks them and nobody else: a fixed answer, on a port of their own, gone when the look is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.guest.shell import Shell
from lab.probes.detached import Detached
from lab.probes.observation import Observation
from lab.probes.stream import carrier
from lab.probes.toolbox import Toolbox

NAME, ADDRESS = "probe.virtlab.test", "192.0.2.1"
"""A reserved name and an address for documentation: no other server gives this answer (RFC 2606, RFC 5737)."""
LISTENING, BOUND = "0A", "07"
# $1: port, $2: state of a socket that waits (of the kernel's table), $3: tcp or udp, $4...: what listens.
SERVE = r"""
port=$1 state=$2 proto=$3; shift 3
"$@" & echo $! >pids
hex=$(printf %04X "$port")
until grep -q ":$hex [0-9A-F]*:0000 $state" "/proc/net/$proto" "/proc/net/${proto}6" 2>/dev/null; do
  kill -0 $! 2>/dev/null || exit 1
  sleep 0.05
done
echo up
wait
"""
WEB = r"""printf 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n' | "$@" """
_STOP_S = 10.0
Maker = Callable[[Toolbox], Sequence[str]]
Look = Callable[[Deadline], Observation]


def web(tools: Toolbox, port: int) -> list[str]:
    """Answers HTTP: one connection by nc or socat, else any by python3. Raises ToolMissing."""
    if "python3" in tools.has and not (tools.nc or "socat" in tools.has):
        listen = ["python3", "-m", "http.server", str(port)]
    else:
        listen = ["sh", "-c", WEB, "sh", *carrier(tools, "", port)]
    return ["sh", "-c", SERVE, "sh", str(port), LISTENING, "tcp", *listen]


def names(tools: Toolbox, address: str) -> list[str]:
    """Answers questions for NAME at an address. Raises ToolMissing (dnsmasq)."""
    tools.first("a DNS server to be asked", "dnsmasq")
    own = ["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts", "--bind-interfaces"]
    server = ["dnsmasq", *own, f"--listen-address={address}", f"--address=/{NAME}/{ADDRESS}"]
    return ["sh", "-c", SERVE, "sh", "53", BOUND, "udp", *server]


@contextmanager
def served(shell: Shell, argv: Sequence[str], deadline: Deadline) -> Iterator[None]:
    """While somebody answers there. Raises ProbeNotStarted with what the server said, GuestUnreachable."""
    job = Detached(shell, "a server to be asked")
    job.start(argv, running="up", deadline=deadline)
    try:
        yield
    finally:
        with suppress(LabError):
            job.stop(signal="TERM", deadline=Deadline.after(_STOP_S))
