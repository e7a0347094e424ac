"""Layer 2: what the neighbour table says of an address. It tells "nobody there" from "there, but silent to ping"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.probes.observation import Observation, Outcome, started

_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
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


def neighbours(shell: Shell, *, deadline: Deadline) -> tuple[Neighbour, ...]:
    """The whole table of a place; () when it cannot be read (it is evidence, not a verdict)."""
    result = shell.run(["ip", "neigh", "show"], deadline=deadline)
    return parse_neighbours(result.stdout) or () if result.ok else ()


def arp(shell: Shell, address: str, *, deadline: Deadline) -> Observation:
    """Looks an address up in the neighbour table; ping it first, so that somebody asked."""
    with trace.span("probe", shell.place, f"neighbour {address}") as span:
        seen = read_neighbour(shell.run(["ip", "neigh", "show"], deadline=deadline), shell.place, address)
        span.observed(str(seen))
        return seen
