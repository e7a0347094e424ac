"""Many TCP connections at once, each from a source port of its own: what becomes of flows, not of one of them.

Where a router has two routes for an address, the five-tuple chooses: one connection, and any ping, is all or nothing
and for ever the same. A probe that finds half of them dead needs several: 16 go the right one of two ways by chance
in one of 65,536 looks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started
from lab.probes.tcp import REFUSED, SILENT

CONNECTIONS = 16
WAIT_S = 3
"""One lost SYN is sent again after 1 s; the next after 3."""
SLACK_S = 0.5
SCRIPT = """
set -f
command -v nc >/dev/null || exit 127
ip neigh show to "$1" | sed 's/^/neighbour /'
ip neigh flush to "$1" 2>/dev/null
port=$4
while [ $port -lt $(($4 + $5)) ]; do
    (
        read -r began _ < /proc/uptime
        said=$(nc -w "$3" -p $port "$1" "$2" </dev/null 2>&1 >/dev/null)
        status=$?
        read -r ended _ < /proc/uptime
        echo "flow $port $status $began $ended" $said
    ) &
    port=$(($port + 1))
done
wait
"""
LINE = re.compile(r"^flow (\d{1,9}) (\d+) (\d{1,18}\.?\d*) (\d{1,18}\.?\d*)(.*)$", re.MULTILINE)
NEIGHBOUR = re.compile(r"^neighbour \S+ .*lladdr (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class ConnectionsObservation(Observation):
    """Source ports by what became of their connection.

    `alive`: the host answered, also by refusing; `dead`: silence, or a router's word that there is no way; `unclear`:
    nothing can be said, as of a port that was in use. `neighbour` is the MAC address that the place believed the host
    to have before it was made to forget it ("" none).
    """

    alive: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()
    unclear: tuple[int, ...] = ()
    neighbour: str = ""

    @property
    def total(self) -> int:
        """Flows of which something can be said."""
        return len(self.alive) + len(self.dead)


def connections_command(
    host: str, port: int, *, first: int, count: int = CONNECTIONS, wait_s: int = WAIT_S
) -> list[str]:
    """Connects from the source ports *first* to *first* + *count* - 1 at once; for busybox' and OpenBSD's nc.

    Source ports must be fresh: one in TIME_WAIT cannot be used again for a minute. What the place knows of the host's
    MAC address is told and forgotten first, so that it is asked for as by somebody who never met the host.
    """
    return ["sh", "-c", SCRIPT, "sh", host, str(port), str(wait_s), str(first), str(count)]


def read_connections(
    result: CommandResult, source: str, host: str, port: int, ports: Sequence[int]
) -> ConnectionsObservation:
    """Pure, but raises ProbeNotStarted when the place has no nc."""
    started(result, "nc")
    alive: list[int] = []
    dead: list[int] = []
    for number, status, began, ended, said in LINE.findall(result.stdout):
        text = said.lower()
        late = float(ended) - float(began) >= WAIT_S - SLACK_S
        if status == "0" or any(word in text for word in REFUSED):
            alive.append(int(number))
        elif any(word in text for word in SILENT) or (late and not text.strip()):
            dead.append(int(number))
    known = {*alive, *dead}
    unclear = tuple(number for number in ports if number not in known)
    outcome = Outcome.NOT_REACHED if dead else Outcome.REACHED if len(known) == len(ports) else Outcome.INCONCLUSIVE
    neighbour = NEIGHBOUR.search(result.stdout)
    return ConnectionsObservation(
        "connections", source, f"{host}:{port}", outcome, _detail(ports, alive, dead, unclear), result,
        alive=tuple(sorted(alive)), dead=tuple(sorted(dead)), unclear=unclear,
        neighbour=neighbour[1].lower() if neighbour else "",
    )  # fmt: skip


def _detail(ports: Sequence[int], alive: Sequence[int], dead: Sequence[int], unclear: Sequence[int]) -> str:
    text = f"{len(alive)} of {len(ports)} connections answered"
    if dead:
        text += f", dead from source port {', '.join(map(str, sorted(dead)))}"
    if unclear:
        text += f", nothing known of source port {', '.join(map(str, unclear))}"
    return text


def connections(
    shell: Shell, host: str, port: int, *, first: int, count: int = CONNECTIONS, deadline: Deadline
) -> ConnectionsObservation:
    """Raises ProbeNotStarted (no nc there), GuestUnreachable."""
    ports = range(first, first + count)
    with trace.span("probe", shell.place, f"{count} connections to {host}:{port}", limit=deadline.remaining()) as span:
        try:
            result = shell.run(connections_command(host, port, first=first, count=count), deadline=deadline)
            seen = read_connections(result, shell.place, host, port, ports)
        except EnvironmentTimeout as error:
            detail = f"no end of the connections within {error.elapsed:.0f} s"
            seen = ConnectionsObservation(
                "connections", shell.place, f"{host}:{port}", Outcome.INCONCLUSIVE, detail, None, unclear=tuple(ports)
            )
        span.observed(str(seen))
        return seen
