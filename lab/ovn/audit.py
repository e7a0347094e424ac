"""The audit as a whole: read everything once, infer, judge; read again only for the lines of the findings.

Pure: it reads the sources given, runs nothing and asks no cluster.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.core.errors import UsageError
from lab.ovn.capture import Capture, scan
from lab.ovn.central import Central
from lab.ovn.dump import ROUTER, Scanner
from lab.ovn.findings import INFO, Finding, Line
from lab.ovn.infer import infer
from lab.ovn.inventory import Inventory
from lab.ovn.lines import printable
from lab.ovn.routes import is_address, parse_row, plain
from lab.ovn.rules import SPELLED, audit
from lab.ovn.sources import Source, sources
from lab.ovn.tables import SELF, Tables
from lab.ovn.topology import Topology

LOCATED = 20_000
"""Prefixes whose lines are looked up at most."""


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

    def about(self, addresses: Iterable[str]) -> list[Finding]:
        """The findings on any of these addresses, remarks among them, and those on what all addresses rest on.

        Node subnets and join addresses are such: a VM is not reached where its node is not.
        """
        wanted = set(addresses)
        return [f for f in self.findings if f.subject in wanted or not wanted.isdisjoint(f.subjects) or _basis(f)]

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
    result = judged(capture, lambda note: sources(given, note))
    if result is None:
        raise UsageError(
            f"output of: ovn-nbctl lr-route-list {ROUTER}",
            capture.instead(),
            ", ".join(printable(path) for path in given),
            f"oc exec -n openshift-ovn-kubernetes -c nbdb <ovnkube-node pod> -- ovn-nbctl lr-route-list {ROUTER}",
        )
    return result


def judged(capture: Capture, read: Callable[[Callable[[str, str], None]], Iterator[Source]]) -> Result | None:
    """The verdict on sources, which *read* opens, once or twice and in the same order; None without a routing table.

    *capture* may hold an inventory already. Raises as *read* does.
    """
    with uncollected():
        scanner = Scanner(capture, capture.tables, capture.facts)
        for source in read(capture.note):
            scan(source, scanner, capture)
        return conclude(capture, read)


def conclude(capture: Capture, read: Callable[[Callable[[str, str], None]], Iterator[Source]]) -> Result | None:
    """The same of sources that were scanned into *capture* already; *read* opens them again for lines of findings."""
    if not capture.usable:
        return None
    topology = _distinct(capture)
    findings = audit(capture.tables, topology, capture.facts) if capture.live else []
    for zone, rows in capture.central:
        findings += Central(zone, rows, capture.facts).findings()
    findings.sort(key=lambda finding: finding.key)
    _lines(read, capture, topology, findings)
    return Result(capture, topology, findings)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles: a million rows make none, and looking through them takes a tenth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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


def _lines(
    read: Callable[[Callable[[str, str], None]], Iterator[Source]],
    capture: Capture,
    topology: Topology,
    findings: list[Finding],
) -> None:
    """Second reading: where the rows of findings stand."""
    wanted = frozenset([p for f in findings if f.legs for p in _spelled(f)][:LOCATED])
    if not wanted:
        return
    again = Capture()
    scanner = Scanner(again, Tables(), again.facts)
    scanner.wanted = wanted
    for source in read(again.note):
        scan(source, scanner, again)
    for finding in findings:
        roles = {(zone, hop, port): role for zone, role, hop, port in finding.legs}
        zones = sorted({leg[0] for leg in finding.legs}, key=topology.label)
        for zone, prefix in ((z, p) for z in zones for p in _spelled(finding)):
            for source_name, number, text in scanner.found.get((zone, prefix), ()):
                route = parse_row(text.partition(" _uuid=")[0])
                if route is None or route.policy == "src-ip":
                    continue
                hop = SELF if route.nexthop == route.prefix else route.nexthop
                role = roles.get((zone, hop, route.port)) or roles.get((zone, "", ""), "seen")
                finding.lines.append(Line(source_name, number, topology.label(zone), role, text))
        finding.lines.sort()
        _sightings(finding, capture.facts)


def _basis(finding: Finding) -> bool:
    return finding.severity != INFO and not finding.subjects and not is_address(finding.subject)


def _spelled(finding: Finding) -> list[str]:
    """The prefixes whose lines a finding gives."""
    return finding.subjects[:SPELLED] or [finding.subject]


def _sightings(finding: Finding, facts: Inventory) -> None:
    if not is_address(finding.subject) or finding.severity == INFO:
        return
    for seen in facts.by_address.get(plain(finding.subject), ()):
        source, _, number = seen.where.rpartition(":")
        state = "runs" if seen.alive else "ended"
        line = int(number) if number.isdigit() else 0
        finding.lines.append(Line(source, line, "", "inventory", f"{seen.name} {state} on {seen.node}"))
