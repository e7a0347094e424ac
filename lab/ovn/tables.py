"""All zones' routing tables at once, in memory that follows the number of prefixes and not the number of zones.

Each prefix points at one shared State: which zones have which set of legs for it. Zones are merged one after the
other; most prefixes take the same steps (every zone says the same of every VM on one node), so there are few states,
and a rule judges a state once for all prefixes that share it. Lines are not kept: who needs them reads again.
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
    """Every prefix of every zone."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self._legs: dict[tuple[Leg, ...], Legs] = {}
        self._known: dict[frozenset[tuple[Legs, int]], State] = {}
        self._empty = State({})

    def legs(self, *rows: Leg) -> Legs:
        """The one object for these rows."""
        key = tuple(sorted(rows))
        return self._legs.setdefault(key, Legs(key))

    def both(self, one: Legs, other: Legs) -> Legs:
        """The rows of both."""
        return self.legs(*one.rows, *other.rows)

    def merge(self, zone: int, table: dict[str, Legs]) -> None:
        """Take one zone's whole table in. A zone is merged once, or again after :meth:`forget`."""
        steps: dict[tuple[State, Legs], State] = {}
        states, empty, bit = self.states, self._empty, 1 << zone
        for prefix, legs in table.items():
            key = (states.get(prefix, empty), legs)
            after = steps.get(key)
            if after is None:
                before = key[0].zones
                after = steps[key] = self._intern({**before, legs: before.get(legs, 0) | bit})
            states[prefix] = after
        if len(self._known) > 4 * len(states) + 1000:
            self._sweep()

    def forget(self, zone: int) -> None:
        """Drop what one zone said."""
        kept = ~(1 << zone)
        steps: dict[State, State] = {}
        for prefix, state in list(self.states.items()):
            if state not in steps:
                steps[state] = self._intern({legs: z & kept for legs, z in state.zones.items() if z & kept})
            if steps[state].zones:
                self.states[prefix] = steps[state]
            else:
                del self.states[prefix]

    def _intern(self, zones: dict[Legs, int]) -> State:
        return self._known.setdefault(frozenset(zones.items()), State(zones))

    def _sweep(self) -> None:
        """States that no prefix is in any more are many after many zones."""
        live = set(self.states.values())
        self._known = {key: state for key, state in self._known.items() if state in live}
