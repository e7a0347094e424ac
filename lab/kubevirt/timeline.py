"""When a migration was in which phase, by the harness' clock: each change as it was first seen in a watch.

The platform's own time stamps have whole seconds, and clocks of nodes of their own; a watch says the same some
milliseconds late. So gaps in traffic are held against what was seen, not against what was written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from lab.access.kinds import Obj

PENDING, SCHEDULING, PRE_COPY, SWITCH_OVER, DONE = PHASES = ("pending", "scheduling", "pre-copy", "switch-over", "done")
_OF = {"": PENDING, "Pending": PENDING, "Running": PRE_COPY, "Succeeded": DONE, "Failed": DONE}
BEFORE = "before it"
SEEN_LATE_S = 0.25
"""How long after the switch itself it may be seen: two writes of the target node and a watch lie between."""
LEFT_S = 1.0
"""How long before the switch-over was seen the guest counts as leaving: on a busy API it may be seen later still, and
what it announced where it came to must not be taken for something from before."""


def phase(vmim: Obj | None, vmi: Obj | None) -> str:
    """The phase that a migration object and its instance show; a migration that is gone is done.

    Switch-over begins when the target reports the guest as running there (targetNodeDomainReadyTimestamp)."""
    if vmim is None:
        return DONE
    found = _OF.get(str((vmim.get("status") or {}).get("phase") or ""), SCHEDULING)
    state = ((vmi or {}).get("status") or {}).get("migrationState") or {}
    if found == DONE or state.get("migrationUid") != vmim["metadata"].get("uid"):
        return found
    if state.get("targetNodeDomainReadyTimestamp"):
        return SWITCH_OVER
    return PRE_COPY if state.get("startTimestamp") and not state.get("failed") else found


@dataclass(frozen=True)
class Timeline:
    """`moments` are (phase, when it was first seen), in order; the first is the request itself."""

    moments: tuple[tuple[str, float], ...]

    def phases(self) -> tuple[tuple[str, float, float], ...]:
        """(phase, begin, end) of all but the last, which has no end."""
        return tuple((name, a, b) for (name, a), (_, b) in itertools.pairwise(self.moments))

    def sending(self) -> tuple[float, float] | None:
        """When memory was sent, from pre-copy to the switch-over (or the end); None when no pre-copy was seen."""
        seen = dict(self.moments)
        began = seen.get(PRE_COPY)
        return None if began is None else (began, seen.get(SWITCH_OVER, self.moments[-1][1]))

    def left(self) -> float:
        """When the guest still ran where it came from, and not much earlier: a little before the switch-over."""
        began, ended = self.sending() or (self.moments[0][1], self.moments[-1][1])
        return max(began, ended - LEFT_S)

    def at(self, moment: float) -> str:
        """The phase of a moment; "before" the request there was none."""
        found = BEFORE
        for name, begin in self.moments:
            if begin <= moment:
                found = name
        return found

    def during(self, begin: float, end: float) -> str:
        """In words, where a stretch of time lies."""
        for name, seen in self.moments:
            if name == SWITCH_OVER and begin <= seen <= end + SEEN_LATE_S:
                return f"at the {SWITCH_OVER}"
        first, last = self.at(begin), self.at(end)
        return first if first == last else f"from {first} to {last}"


def merged(lines: Iterable[Timeline]) -> Timeline:
    """Several migrations' moments as one line: a gap is then at whichever's switch-over it is."""
    return Timeline(tuple(sorted((moment for line in lines for moment in line.moments), key=lambda moment: moment[1])))


class Recorder:
    """Collects moments while somebody watches."""

    def __init__(self, began: float) -> None:
        self._moments: list[tuple[str, float]] = [(PENDING, began)]

    def saw(self, found: str, at: float) -> None:
        """A phase seen at a time; only forward counts (two watches are not in step)."""
        if PHASES.index(found) > PHASES.index(self._moments[-1][0]):
            self._moments.append((found, at))

    def timeline(self) -> Timeline:
        return Timeline(tuple(self._moments))
