"""The offline audit as a whole: read everything once, infer, judge; read again only for the lines of the findings.

Pure: it reads the paths given, runs nothing and asks no cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from lab.core.errors import UsageError
from lab.ovn.dump import ROUTER, Scanner, Zone
from lab.ovn.findings import INFO, Finding, Line
from lab.ovn.inventory import Inventory
from lab.ovn.lines import blocks, printable
from lab.ovn.routes import is_address, is_prefix, plain
from lab.ovn.rules import audit
from lab.ovn.sources import UNPACKING, Source, broken_off, sources
from lab.ovn.tables import SELF, Legs, Tables
from lab.ovn.topology import Topology, infer

LOCATED = 20_000
"""Prefixes whose lines are looked up at most."""
CENTRAL = ("ovnkube-master-", "ovnkube-db-")
OCTETS = frozenset(map(str, range(256)))
OVSDB = (b"OVSDB JSON ", b"OVSDB CLUSTER ")


@dataclass
class Capture:
    """What the inputs held. It takes zones from the scanner as they end."""

    tables: Tables = field(default_factory=Tables)
    facts: Inventory = field(default_factory=Inventory)
    zones: list[Zone] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(where, what was passed over and why)."""
    unusable: list[str] = field(default_factory=list)
    """Paths given by name in which nothing was of use."""
    sources: int = 0
    first_line: str = ""

    def opened(self, zone: Zone) -> None:
        """Part of :class:`lab.ovn.dump.Sink`."""
        self.zones.append(zone)

    def closed(self, zone: Zone, table: dict[str, Legs]) -> None:
        """Part of :class:`lab.ovn.dump.Sink`: the same pod's later dump takes the place of the earlier one."""
        where = f"{zone.source}:{zone.line}"
        if not table:
            self.note(where, f"no route of {ROUTER} for {zone.label}: it counts as not captured")
            return
        if zone.pod.startswith(CENTRAL):
            self.note(where, f"{zone.pod} has one database for all nodes (no interconnect): not judged")
            return
        for prefix in _no_addresses(table):
            del table[prefix]
        for other in [z for z in self.live if zone.pod and self.zones[z].pod == zone.pod]:
            self.replace(other, f"{zone.label} is in here twice; the dump at {where} counts")
        self.tables.merge(zone.index, table)
        self.live.add(zone.index)

    def replace(self, zone: int, why: str) -> None:
        """Give up a dump for a later one."""
        self.tables.forget(zone)
        self.live.discard(zone)
        self.note(f"{self.zones[zone].source}:{self.zones[zone].line}", why)

    def too_long(self, source: str, number: int) -> None:
        """A line was dropped as it streamed by."""
        self.note(f"{source}:{number}", "too long a line")

    def note(self, where: str, text: str) -> None:
        """Part of :class:`lab.ovn.dump.Sink`."""
        self.notes.append((where, text))


@dataclass
class Result:
    """The verdict and all it rests on."""

    capture: Capture
    topology: Topology
    findings: list[Finding]

    @property
    def faults(self) -> list[Finding]:
        """Findings that are more than a remark."""
        return [f for f in self.findings if f.severity != INFO]

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings, 2 no finding but an input that could not be used."""
        return 1 if self.faults else 2 if self.capture.unusable else 0


def run(paths: Iterable[str], *, everything: bool = False) -> Result:
    """Audit what the paths hold. *everything*: the inventory in them has every VM of the cluster.

    Raises:
        UsageError: a path cannot be read, or there is no cluster router's routing table in any of them.
    """
    given = list(paths)
    capture = Capture()
    capture.facts.everything = everything
    scanner = Scanner(capture, capture.tables, capture.facts)
    for source in sources(given, capture.note):
        _scan(source, scanner, capture)
    if not capture.live:
        raise UsageError(
            f"output of: ovn-nbctl lr-route-list {ROUTER}",
            _instead(capture),
            ", ".join(printable(path) for path in given),
            f"oc exec -n openshift-ovn-kubernetes -c nbdb <ovnkube-node pod> -- ovn-nbctl lr-route-list {ROUTER}",
        )
    topology = _distinct(capture)
    findings = audit(capture.tables, topology, capture.facts)
    _lines(given, capture, topology, findings)
    return Result(capture, topology, findings)


def _scan(source: Source, scanner: Scanner, capture: Capture) -> None:
    capture.sources += 1
    before = len(capture.notes)
    head = b""
    broken = ""
    scanner.begin(source.name)
    try:
        head = source.stream.read(4096)
        if not (reason := _unreadable(head)):
            for block in blocks(cast(BinaryIO, _Rejoined(head, source)), lambda n: capture.too_long(source.name, n)):
                scanner.feed(*block)
    except UNPACKING as error:
        reason, broken = "", broken_off(error)
        scanner.cut(broken)
    scanner.end()
    if broken or (reason and (source.given or "database" in reason)):
        capture.note(source.name, broken or reason)
    if scanner.useful:
        return
    if source.given:
        capture.unusable.append(source.name)
        first = next((line for line in head.decode("utf-8", "replace").splitlines() if line.strip()), "nothing")
        capture.first_line = capture.first_line or f"{source.name} begins with: {printable(first.strip(), 120)}"
        capture.note(source.name, "neither routes nor an inventory in it")
    elif not broken and not reason:
        del capture.notes[before:]


def _no_addresses(table: dict[str, Legs]) -> list[str]:
    """Prefixes that are none; the scanner looks at each new tail of a row and not at each prefix."""
    heads: dict[str, bool] = {}
    wrong = []
    for prefix in table:
        head, _, last = prefix.rpartition(".")
        good = heads.get(head)
        if good is None:
            good = heads[head] = is_address(f"{head}.0")
        if not (good and last in OCTETS) and not is_prefix(prefix):
            wrong.append(prefix)
    return wrong


def _unreadable(head: bytes) -> str:
    if head.startswith(OVSDB):
        return "an OVN database file: not read yet; give lr-route-list output of it"
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


def _instead(capture: Capture) -> str:
    notes = "; ".join(f"{where}: {text}" for where, text in capture.notes[:5])
    return capture.first_line + (" (" + notes + ")" if notes else "") or "no file at all"


def _distinct(capture: Capture) -> Topology:
    """Two dumps with the same own join address are the same zone's: the later one counts."""
    topology = infer(capture.tables, capture.zones, capture.facts, sorted(capture.live))
    seen: dict[object, int] = {}
    again = False
    for zone, node in sorted(topology.by_zone.items()):
        for key in filter(None, (node.name, *node.join.values())):
            if (other := seen.get(key)) is not None and other != zone and other in capture.live:
                capture.replace(other, f"the same zone as {capture.zones[zone].label}, which counts")
                again = True
            seen[key] = zone
    return infer(capture.tables, capture.zones, capture.facts, sorted(capture.live)) if again else topology


def _lines(paths: list[str], capture: Capture, topology: Topology, findings: list[Finding]) -> None:
    """Second reading: where the rows of findings stand."""
    wanted = frozenset(list(dict.fromkeys(f.subject for f in findings if f.legs))[:LOCATED])
    if not wanted:
        return
    again = Capture()
    scanner = Scanner(again, Tables(), again.facts)
    scanner.wanted = wanted
    for source in sources(paths, again.note):
        _scan(source, scanner, again)
    for finding in findings:
        roles = {(zone, hop): role for zone, role, hop in finding.legs}
        for zone in sorted({zone for zone, _, _ in finding.legs}, key=topology.label):
            for source_name, number, text in scanner.found.get((zone, finding.subject), ()):
                words = text.split()
                if "src-ip" in words[:3]:
                    continue
                hop = SELF if words[1] == words[0] else words[1]
                role = roles.get((zone, hop)) or roles.get((zone, ""), "seen")
                finding.lines.append(Line(source_name, number, topology.label(zone), role, text))
        finding.lines.sort()
        _sightings(finding, capture.facts)


def _sightings(finding: Finding, facts: Inventory) -> None:
    if not is_address(finding.subject) or finding.severity == INFO:
        return
    for seen in facts.by_address.get(plain(finding.subject), ()):
        source, _, number = seen.where.rpartition(":")
        state = "runs" if seen.alive else "ended"
        finding.lines.append(Line(source, int(number), "", "inventory", f"{seen.name} {state} on {seen.node}"))
