"""The headline scenario's own overhead, from the record of a run: what is neither guest, migration nor probe.

Counted as the guest's boot: the floor that `bareguest` measured in the same session (QEMU's start to an SSH answer), so
that whatever the lab makes slower is overhead. As migration: each VirtualMachineInstanceMigration from its phase
Running to its end, as the notes of the record say. As probe: the windows that the record notes, from a ping's typing to
its result; and more strictly only the pauses between its packets, so that typing and fetching over the console are
overhead too. All else is overhead: applying, scheduling, target pods, logins, consoles, waits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

NAME = "VM on VLAN 2024 reaches the gateway after live migration"
PAUSE_S = 0.2
NOTE = re.compile(r"(?P<text>.*) \((?P<seconds>\d+\.\d) s\)")
SENT = re.compile(r"\d+ of (?P<sent>\d+) answered")


@dataclass(frozen=True)
class Parts:
    """Seconds of the scenario by what they went to."""

    wall: float
    boot: float
    migrations: float
    windows: float
    pauses: float

    def share(self, probes: float) -> float:
        """Overhead by wall time, with so many seconds of probes."""
        return (self.wall - self.boot - self.migrations - probes) / self.wall

    def __str__(self) -> str:
        return (
            f"of wall {self.wall:.1f} s: boot {self.boot:.1f} (as bare), migrations {self.migrations:.1f} "
            f"(Running..end), probe windows {self.windows:.1f}, the rest is overhead"
        )


def _noted(step: dict[str, Any], pattern: str) -> list[float]:
    """The seconds into its wait at which a step noted something."""
    found = [match for note in step["notes"] if (match := NOTE.fullmatch(note))]
    return [float(match["seconds"]) for match in found if re.search(pattern, match["text"])]


def _migrated(step: dict[str, Any]) -> float:
    running, ended = _noted(step, r"InstanceMigration .*phase Running"), _noted(step, r": phase Succeeded")
    return max(0.0, ended[0] - running[0]) if running and ended else 0.0


def _probes(step: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a step's pings: their windows, and the pauses between their packets."""
    # Each observation is noted when it is made and once more when its span ends.
    found = {match["text"]: match for note in step["notes"] if (match := NOTE.fullmatch(note))}
    seen = [(float(match["seconds"]), sent) for text, match in found.items() if (sent := SENT.search(text))]
    return sum(seconds for seconds, _ in seen), sum((int(sent["sent"]) - 1) * PAUSE_S for _, sent in seen)


def parts(record: dict[str, Any], boot: float) -> Parts:
    """Of a run.json and the seconds of a bare boot."""
    scenario = next(s for s in record["scenarios"] if s["name"] == NAME)
    steps = scenario["steps"]
    windows, pauses = zip(*map(_probes, steps), strict=True)
    return Parts(scenario["seconds"], boot, sum(map(_migrated, steps)), sum(windows), sum(pauses))
