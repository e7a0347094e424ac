"""The path of a guest's frames as a list of stations, and the one judge that names the first at which they are lost.

Pure: a station is what was read at one place while some packets were sent. It is blamed by what it counted (frames came
out of the one before and none into it), or by its own word (a trace that drops, a port without flows), and that word
counts only while no station behind it saw the frames: packets are more certain than tables. Nothing here reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab.diagnosis.cause import Said


@dataclass(frozen=True)
class Station:
    """One place. ``there`` and ``back`` count frames that were seen at it on the way out and back, None: not read.

    ``part`` is one of :data:`lab.core.facts.PARTS`.
    """

    place: str
    node: str
    part: str
    there: int | None = None
    back: int | None = None
    said: str = ""
    """What its tables say, for the evidence."""
    wrong: str = ""
    """What it says against itself: a whole sentence."""
    hint: str = ""
    """What it adds to a cause that lies beyond it."""

    def __str__(self) -> str:
        counts = f"{_shown(self.there)} out, {_shown(self.back)} back"
        return f"{self.node}: {self.place}: {counts}" + (f"; {self.said}" if self.said else "")


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)


@dataclass(frozen=True)
class Walk:
    """A walk: its stations from the guest outwards, what could not be read, and where it ends.

    ``lost`` is the index of the station that loses them, -1 for none; ``found`` the sentence about it, with its place.
    ``beyond``: frames left the last station that can be read, and nothing came back to it.
    """

    who: str
    to: str
    stations: tuple[Station, ...] = ()
    unread: tuple[str, ...] = ()
    lost: int = -1
    found: str = ""
    beyond: bool = False
    received: int | None = None
    """Answers that came to what was sent on the walk; None when that was not read."""

    def lines(self) -> list[str]:
        """The whole walk to be read by people."""
        marks = ["LOST" if i == self.lost else "" for i in range(len(self.stations))]
        rows = [f"{mark:4} {station}" for mark, station in zip(marks, self.stations, strict=True)]
        return [f"{self.who} -> {self.to}", *rows, *(f"not read: {why}" for why in self.unread), self.verdict]

    @property
    def answered(self) -> bool:
        """Whether what was sent on the walk was answered: a loss before it is over."""
        return bool(self.received)

    @property
    def verdict(self) -> str:
        """The end of it in words."""
        if self.found or not self.stations:
            return self.found
        if self.answered:
            return f"{self.received} of the pings were answered this time"
        last = own_end(self)
        return (
            f"nothing came back: {last.place} is the last that can be read"
            if self.beyond
            else "none of these loses them"
        )


def judged(walk: Walk) -> Walk:
    """The walk with its verdict: the first station that loses frames on the way out, else on the way back."""
    stations = walk.stations
    if walk.answered:
        return walk
    for index, station in enumerate(stations):
        behind = any((later.there or 0) > 0 for later in stations[index + 1 :])
        before = [s for s in stations[:index] if s.there is not None]
        if station.wrong and not behind:
            return _at(walk, index, station.wrong)
        if station.there == 0 and not behind:
            if not before:
                return _at(walk, index, f"{station.node}: {walk.who} sent nothing: {station.place} counted no frame")
            last = before[-1]
            if last.there:
                return _at(walk, index, _between(walk, last, station))
    return _back(walk)


def _between(walk: Walk, last: Station, station: Station) -> str:
    more = f" ({station.said})" if station.said else ""
    return (
        f"{station.node}: frames of {walk.who} are lost between {last.place} and {station.place}: "
        f"{last.there} came out of the one, none into the other{more}"
    )


def _back(walk: Walk) -> Walk:
    """Nothing was lost on the way out as far as it can be read: what came back, from the far end inwards.

    Only an uplink knows answers from broadcasts: without its count nothing is said of the way back.
    """
    counted = [i for i, s in enumerate(walk.stations) if s.back is not None]
    far = counted[-1] if counted else -1
    if far < 0 or walk.stations[far].part not in ("uplink", "cable"):
        return walk
    if walk.stations[far].back == 0:
        return replace(walk, beyond=bool(walk.stations[far].there))
    for outer, inner in zip(reversed(counted), list(reversed(counted))[1:], strict=False):
        station = walk.stations[inner]
        if station.back == 0:
            came = walk.stations[outer]
            return _at(
                walk,
                inner,
                f"{station.node}: answers to {walk.who} are lost between {came.place} and {station.place}: "
                f"{came.back} came to the one, none to the other" + (f" ({station.said})" if station.said else ""),
            )
    return walk


def _at(walk: Walk, index: int, text: str) -> Walk:
    station: Station = walk.stations[index]
    return replace(walk, lost=index, found=Said(text, station.node, station.part))


INSIDE = ("vm", "tap", "ovn", "mapping", "patch", "bridge", "uplink")
"""Parts of a node: where one of them loses frames, nothing outside the node is to blame."""


def nearer(found: str, walk: Walk) -> str:
    """The cause that the witnesses named, or a nearer one by the walk; never one of another node's.

    What a worker says of its own network (a mapping, an uplink without link) stands: it explains what the walk saw.
    """
    part = getattr(found, "part", "")
    if part not in ("vm", "cable", "network", "gateway", ""):
        return found
    place: str = getattr(walk.found, "part", "")
    if walk.lost >= 0 and (place in INSIDE or part in ("vm", "")):
        return walk.found
    if not walk.beyond:
        return found
    last = own_end(walk)
    if part in ("vm", ""):
        return Said(_gone(walk, last), last.node, "cable")
    text = f"{found}; {last.hint}" if last.hint and part == "cable" else found
    return Said(text, getattr(found, "node", ""), part)


def own_end(walk: Walk) -> Station:
    """The last station that counts what comes back: behind it are those of the peer's node."""
    return next((s for s in reversed(walk.stations) if s.back is not None), walk.stations[-1])


def _gone(walk: Walk, last: Station) -> str:
    return (
        f"{last.node}: frames of {walk.who} leave the node ({last.place}), and nothing comes back for it, while others "
        "on this node have answers: the switch or the other end does not pass its MAC address"
    )


def summary(stations: Sequence[Station]) -> str:
    """Frames out by station in a few words, for a sentence: ``NIC 3, tap 3, br-int 0``."""
    return ", ".join(f"{s.place} {s.there}" for s in stations if s.there is not None)
