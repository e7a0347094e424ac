"""All zones' routing tables at once, in memory that follows the number of prefixes and not the number of zones.

Each prefix points at one shared State: which zones have which set of legs for it. Rows are merged as they are read;
most prefixes take the same steps (every zone says the same of every VM on one node), so there are few states, and a
rule judges a state once for all prefixes that share it. Lines are not kept: who needs them reads again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SELF = "self"
"""Stands for a next hop that is the prefix itself, so that prefixes can share legs."""


class Leg(NamedTuple):
    """What a row says besides its prefix. `loose`: known to carry none of OVN-Kubernetes' owner marks or no policy."""

    nexthop: str
    policy: str = "dst-ip"
    port: str = ""
    marks: tuple[str, ...] = ()
    """Flags other than ``ecmp``, which follows from the text around a row only."""
    loose: bool = False

    @property
    def local(self) -> bool:
        """Points at the prefix itself."""
        return self.nexthop == SELF


class Legs:
    """The rows of one prefix in one zone, sorted; repeated rows are kept. Interned: compare by identity."""

    __slots__ = ("rows",)

    def __init__(self, rows: tuple[Leg, ...]) -> None:
        self.rows = rows


class State:
    """For one prefix: legs -> zones that have them, as bits. Interned: compare by identity."""

    __slots__ = ("zones",)

    def __init__(self, zones: dict[Legs, int]) -> None:
        self.zones = zones

    def per_zone(self) -> Iterator[tuple[int, tuple[Leg, ...]]]:
        """(zone, its rows)."""
        for legs, zones in self.zones.items():
            for zone in bits(zones):
                yield zone, legs.rows


def bits(value: int) -> Iterator[int]:
    """The positions of the ones in *value*, lowest first."""
    while value:
        low = value & -value
        yield low.bit_length() - 1
        value ^= low


class Tables:
    """Every prefix of every zone: single addresses in `hosts`, networks in `nets`."""

    def __init__(self) -> None:
        self.hosts: dict[str, State] = {}
        self.nets: dict[str, State] = {}
        self._legs: dict[tuple[Leg, ...], Legs] = {}
        self._known: dict[frozenset[tuple[Legs, int]], State] = {}
        self._steps: dict[tuple[int, State | None, Legs], State] = {}
        self._sweep_at = 1000
        self._empty = State({})

    def get(self, prefix: str) -> State | None:
        """The state of one prefix."""
        return (self.nets if "/" in prefix else self.hosts).get(prefix)

    def legs(self, *rows: Leg) -> Legs:
        """The one object for these rows."""
        key = tuple(sorted(rows))
        return self._legs.setdefault(key, Legs(key))

    def add(self, zone: int, prefix: str, legs: Legs) -> None:
        """One row of one zone; rows that the zone has of the prefix already are kept beside it."""
        states = self.nets if "/" in prefix else self.hosts
        states[prefix] = self._step(zone, states.get(prefix), legs)

    def add_many(self, zone: int, hosts: dict[str, Legs], nets: dict[str, Legs]) -> None:
        """The same for many rows, by calls that work on all of them at once."""
        for states, rows in ((self.hosts, hosts), (self.nets, nets)):
            known = list(map(states.get, rows))
            if any(known):
                both = list(zip(known, rows.values(), strict=True))
                steps = {step: self._step(zone, *step) for step in set(both)}
                states.update(zip(rows, map(steps.__getitem__, both), strict=True))
            else:
                first = {legs: self._step(zone, None, legs) for legs in set(rows.values())}
                states.update(zip(rows, map(first.__getitem__, rows.values()), strict=True))

    def _step(self, zone: int, state: State | None, legs: Legs) -> State:
        key = (zone, state, legs)
        known = self._steps.get(key)
        if known is None:
            zones = dict((state or self._empty).zones)
            bit = 1 << zone
            if (mine := next((old for old, having in zones.items() if having & bit), None)) is not None:
                zones[mine] &= ~bit
                if not zones[mine]:
                    del zones[mine]
                legs = self.legs(*mine.rows, *legs.rows)
            zones[legs] = zones.get(legs, 0) | bit
            known = self._steps[key] = self._intern(zones)
        return known

    def of_zone(self, zone: int) -> Iterator[tuple[str, tuple[Leg, ...]]]:
        """(prefix, rows) of one zone."""
        for states in (self.hosts, self.nets):
            for prefix, state in states.items():
                for legs, zones in state.zones.items():
                    if zones >> zone & 1:
                        yield prefix, legs.rows

    def closed(self) -> None:
        """A zone is complete: drop what only helped on the way. States that no prefix is in any more are many then."""
        self._steps.clear()
        if len(self._known) > self._sweep_at:
            live = {*self.hosts.values(), *self.nets.values()}
            self._known = {key: state for key, state in self._known.items() if state in live}
            self._sweep_at = 2 * len(live) + 1000

    def forget(self, zone: int, prefix: str = "") -> None:
        """Drop what one zone said, of one prefix or of all."""
        kept = ~(1 << zone)
        for states in (self.hosts, self.nets):
            steps: dict[State, State] = {}
            for key in [prefix] if prefix in states else [] if prefix else list(states):
                state = states[key]
                if state not in steps:
                    steps[state] = self._intern({legs: z & kept for legs, z in state.zones.items() if z & kept})
                if steps[state].zones:
                    states[key] = steps[state]
                else:
                    del states[key]

    def _intern(self, zones: dict[Legs, int]) -> State:
        return self._known.setdefault(frozenset(zones.items()), State(zones))
