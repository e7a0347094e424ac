"""The headline scenario's own overhead, from the record of a run: what is neither guest, migration nor probe.

Counted as the guest's boot: the floor that `bareguest` measured in the same session (QEMU's start to an SSH answer), so
that whatever the lab makes slower is overhead. As migration: each VirtualMachineInstanceMigration from its phase
Running to its end, as the notes of the record say. As probe: the pings' own length, the pauses between their packets.
All else is overhead: applying, scheduling, target pods, logins, consoles, waits.
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
    probes: float

    @property
    def overhead(self) -> float:
        """What is left."""
        return self.wall - self.boot - self.migrations - self.probes

    def __str__(self) -> str:
        return (
            f"wall {self.wall:.1f} s - boot {self.boot:.1f} (bare) - migrations {self.migrations:.1f} (Running..end) - "
            f"probes {self.probes:.1f} (pauses between pings) = {self.overhead:.1f} s, by wall"
        )


def _noted(step: dict[str, Any], pattern: str) -> list[float]:
    """The seconds into its wait at which a step noted something."""
    found = [match for note in step["notes"] if (match := NOTE.fullmatch(note))]
    return [float(match["seconds"]) for match in found if re.search(pattern, match["text"])]


def _migrated(step: dict[str, Any]) -> float:
    running, ended = _noted(step, r"InstanceMigration .*phase Running"), _noted(step, r": phase Succeeded")
    return max(0.0, ended[0] - running[0]) if running and ended else 0.0


def _probed(step: dict[str, Any]) -> float:
    # Each observation is noted when it is made and once more when its span ends.
    texts = {match["text"] for note in step["notes"] if (match := NOTE.fullmatch(note))}
    sent = [int(match["sent"]) for text in texts if (match := SENT.search(text))]
    return sum((count - 1) * PAUSE_S for count in sent)


def parts(record: dict[str, Any], boot: float) -> Parts:
    """Of a run.json and the seconds of a bare boot."""
    scenario = next(s for s in record["scenarios"] if s["name"] == NAME)
    steps = scenario["steps"]
    return Parts(scenario["seconds"], boot, sum(map(_migrated, steps)), sum(map(_probed, steps)))
