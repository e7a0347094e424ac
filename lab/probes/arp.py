"""Layer 2: what the neighbour table says of an address. It tells "nobody there" from "there, but silent to ping"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import UsageError
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started
from lab.probes.toolbox import Toolbox

_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_UNICAST = re.compile(r"[Uu]nicast reply from \S+ \[([0-9a-fA-F:]{17})\]")
_SENT = re.compile(r"Sent (\d{1,9}) probe", re.I)
_STATES = {"REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "INCOMPLETE", "PERMANENT", "NOARP", "NONE"}


@dataclass(frozen=True)
class Neighbour:
    """One entry; `mac` is "" while unresolved; `state` as `ip neigh` words it (REACHABLE, STALE, FAILED, ...)."""

    ip: str
    device: str
    mac: str
    state: str


def parse_neighbours(text: str) -> tuple[Neighbour, ...] | None:
    """The entries of `ip neigh show`; None when a line is none."""
    found: list[Neighbour] = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) < 3 or not _ADDRESS.fullmatch(words[0]) or words[1] != "dev":
            return None
        mac = words[4] if words[3:4] == ["lladdr"] and _MAC.fullmatch(" ".join(words[4:5])) else ""
        states = [word for word in words[3:] if word in _STATES]
        found.append(Neighbour(words[0], words[2], mac, states[-1] if states else ""))
    return tuple(found)


def read_neighbour(result: CommandResult, source: str, address: str) -> Observation:
    """Whether an address resolves to a MAC, by a table just read. STALE counts as inconclusive: it may be gone."""
    started(result, "ip")
    entries = parse_neighbours(result.stdout) if result.ok else None
    if entries is None:
        detail = f"cannot make sense of ip neigh (exit status {result.exit_code}): {result.output[-200:]!r}"
        return Observation("arp", source, address, Outcome.INCONCLUSIVE, detail, result)
    for entry in entries:
        if entry.ip == address:
            return Observation(
                "arp", source, address, _outcome(entry), f"{entry.mac or 'no MAC'} {entry.state}", result
            )
    return Observation("arp", source, address, Outcome.INCONCLUSIVE, "not in the neighbour table: nobody asked", result)


def _outcome(entry: Neighbour) -> Outcome:
    if entry.state in ("REACHABLE", "PERMANENT", "DELAY"):
        return Outcome.REACHED
    if entry.state in ("FAILED", "INCOMPLETE") or not entry.mac:
        return Outcome.NOT_REACHED
    return Outcome.INCONCLUSIVE


@dataclass(frozen=True)
class ArpObservation(Observation):
    """`macs` are all that answered, in order of first answer: two of them share an address."""

    macs: tuple[str, ...] = ()


def arping_command(tools: Toolbox, address: str, device: str, *, count: int = 3) -> list[str]:
    """The argv of ARP requests over a device, understood by iputils and busybox; root's where there is sudo.

    Raises ToolMissing; UsageError for an IPv6 address, whose neighbours are asked by ping."""
    if ":" in address:
        raise UsageError("an IPv4 address for arping", address, advice="ping it, then look at `ip -6 neigh`")
    tools.first("ARP requests", "arping")
    words = ["arping", "-c", str(count), "-w", str(count + 1), "-I", device, address]
    return ["sudo", "-n", *words] if "sudo" in tools.has else words


def read_arping(result: CommandResult, source: str, address: str) -> ArpObservation:
    """Pure, but raises ProbeNotStarted for exit status 126 and 127."""
    started(result, "arping")
    macs = tuple(dict.fromkeys(mac.lower() for mac in _UNICAST.findall(result.stdout)))
    counts = _SENT.search(result.stdout)

    def seen(outcome: Outcome, detail: str) -> ArpObservation:
        return ArpObservation("arping", source, address, outcome, detail, result, macs)

    if macs:
        return seen(Outcome.REACHED, f"answered by {', '.join(macs)}" + (": more than one" if len(macs) > 1 else ""))
    if counts and int(counts[1]):
        return seen(Outcome.NOT_REACHED, f"{counts[1]} requests, no answer")
    return seen(Outcome.INCONCLUSIVE, f"cannot make sense of arping: {result.output[-200:]!r}")


def arping(shell: Shell, tools: Toolbox, address: str, device: str, *, deadline: Deadline) -> ArpObservation:
    """Asks the wire itself, past the neighbour table. Raises ToolMissing, ProbeNotStarted, GuestUnreachable."""
    with trace.span("probe", shell.place, f"arping {address}", limit=deadline.remaining()) as span:
        argv = arping_command(tools, address, device)
        seen = read_arping(shell.run(argv, deadline=deadline), shell.place, address)
        span.observed(str(seen))
        return seen


def neighbours(shell: Shell, *, deadline: Deadline) -> tuple[Neighbour, ...]:
    """The whole table of a place; () when it cannot be read (it is evidence, not a verdict)."""
    result = shell.run(["ip", "neigh", "show"], deadline=deadline)
    return parse_neighbours(result.stdout) or () if result.ok else ()


def arp(shell: Shell, address: str, *, deadline: Deadline) -> Observation:
    """Looks an IPv4 or IPv6 address up in the neighbour table; ping it first, so that somebody asked."""
    # busybox' ip shows only IPv4 when it is not told which.
    argv = ["ip", "-6" if ":" in address else "-4", "neigh", "show"]
    with trace.span("probe", shell.place, f"neighbour {address}") as span:
        seen = read_neighbour(shell.run(argv, deadline=deadline), shell.place, address)
        span.observed(str(seen))
        return seen
