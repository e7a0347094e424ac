"""What all inputs held: zones, inventory, and what was passed over; and one source read into it.

Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO, cast

from lab.ovn.central import is_central
from lab.ovn.dump import ROUTER, Scanner
from lab.ovn.findings import counted
from lab.ovn.inventory import Inventory
from lab.ovn.lines import blocks, printable
from lab.ovn.nbfile import MAGIC, NORTHBOUND, Damaged, read_file
from lab.ovn.sources import UNPACKING, Source, broken_off
from lab.ovn.tables import Leg, Tables
from lab.ovn.zone import Zone

Row = tuple[Leg, ...]


@dataclass
class Capture:
    """It takes zones from the scanner as they end."""

    tables: Tables = field(default_factory=Tables)
    facts: Inventory = field(default_factory=Inventory)
    zones: list[Zone] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    """Zones that count: none given up for a later dump."""
    central: list[tuple[Zone, dict[str, Row]]] = field(default_factory=list)
    """Databases of the central mode, with their rows."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(where, what was passed over and why)."""
    unusable: list[str] = field(default_factory=list)
    """Paths given by name in which nothing was of use."""
    sources: int = 0
    first_line: str = ""
    inventory: int = 0
    """Rows and objects that name pods, VMIs or nodes."""
    elsewhere: int = 0
    """Databases other than northbound ones."""

    def opened(self, zone: Zone) -> None:
        """Part of :class:`lab.ovn.zone.Sink`."""
        self.zones.append(zone)

    def closed(self, zone: Zone) -> None:
        """Part of :class:`lab.ovn.zone.Sink`: the same pod's later dump takes the place of the earlier one."""
        where = f"{zone.source}:{zone.line}"
        if not zone.rows:
            self.note(where, f"no route of {ROUTER} for {zone.label}: it counts as not captured")
            return
        if zone.gateway:
            self.tables.forget(zone.index)
            self.note(
                where, f"routes of a gateway router (port {printable(zone.gateway)}), not of {ROUTER}: passed over"
            )
            return
        if is_central(zone, self.tables):
            self._central(zone)
            return
        for other in [z for z in self.live if zone.pod and self.zones[z].pod == zone.pod]:
            self.replace(other, f"{zone.label} is in here twice; the dump at {where} counts")
        self.live.add(zone.index)

    def _central(self, zone: Zone) -> None:
        """Members of a raft cluster have the same rows: they are judged once."""
        zone.central = True
        rows = dict(self.tables.of_zone(zone.index))
        self.tables.forget(zone.index)
        where = f"{zone.source}:{zone.line}"
        for other, known in self.central:
            if known == rows:
                self.note(where, f"the same rows as in {other.label}: judged once")
                return
        if self.central:
            self.note(where, f"other rows than in {self.central[0][0].label}: does a member lag behind? judged each")
        self.central.append((zone, rows))

    def replace(self, zone: int, why: str) -> None:
        """Give up a dump for a later one."""
        self.tables.forget(zone)
        self.live.discard(zone)
        self.note(f"{self.zones[zone].source}:{self.zones[zone].line}", why)

    def note(self, where: str, text: str) -> None:
        """Part of :class:`lab.ovn.zone.Sink`."""
        self.notes.append((where, text))

    @property
    def usable(self) -> bool:
        """Whether there is a routing table to judge."""
        return bool(self.live or self.central)

    def instead(self) -> str:
        """What was found where routes were wanted."""
        found = [self.first_line] if self.first_line else []
        if self.inventory:
            found.append(f"an inventory of {counted(self.inventory, 'entry').replace('ys', 'ies')} and no route")
        if self.elsewhere:
            found.append(f"{counted(self.elsewhere, 'database')} other than northbound ones")
        if not self.sources:
            found.append("no file at all")
        elif not found:
            found.append(f"{counted(self.sources, 'file')} without any")
        notes = "; ".join(f"{where}: {text}" for where, text in self.notes[:5])
        return "; ".join(found) + (f" ({notes})" if notes else "")


def scan(source: Source, scanner: Scanner, capture: Capture) -> None:
    """Read one source. What is of no use in it is noted; in a folder or archive only what looked like something."""
    capture.sources += 1
    before = len(capture.notes)
    head = b""
    broken = reason = ""
    scanner.begin(source.name)

    def dropped(number: int) -> None:
        capture.note(f"{source.name}:{number}", "too long a line")
        scanner.cut(f"line {number} is too long")

    try:
        head = source.stream.read(4096)
        stream = cast(BinaryIO, _Rejoined(head, source))
        if head.startswith(MAGIC):
            reason = _database(stream, scanner, capture)
        elif not (reason := _unreadable(head)):
            for block in blocks(stream, dropped):
                scanner.feed(*block)
    except UNPACKING as error:
        broken = broken_off(error)
        scanner.cut(broken)
    scanner.end()
    capture.inventory += scanner.inventory
    if broken or (reason and (source.given or "database" in reason)):
        capture.note(source.name, broken or reason)
    if scanner.useful:
        return
    if source.given:
        capture.unusable.append(source.name)
        first = next((line for line in head.decode("utf-8", "replace").splitlines() if line.strip()), "nothing")
        capture.first_line = capture.first_line or f"{source.name} begins with: {printable(first.strip(), 120)}"
        capture.note(source.name, "neither routes nor an inventory in it")
    elif not broken and not reason and not head.startswith(MAGIC):
        del capture.notes[before:]


def _database(stream: BinaryIO, scanner: Scanner, capture: Capture) -> str:
    """A file of OVSDB's own. What was passed over of it and why, or empty."""
    try:
        file = read_file(stream)
    except Damaged as error:
        return f"a damaged database: {error}"
    if file.schema != NORTHBOUND:
        capture.elsewhere += 1
        return ""
    scanner.database(file.rows(), file.broken)
    return f"a database that is not whole: {file.broken}" if file.broken else ""


def _unreadable(head: bytes) -> str:
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary: not read"
    return ""


class _Rejoined:
    """A stream with its beginning put back."""

    def __init__(self, head: bytes, source: Source) -> None:
        self._head = head
        self._stream = source.stream

    def read(self, size: int) -> bytes:
        """As a file's."""
        head, self._head = self._head, b""
        return head + self._stream.read(size - len(head))
