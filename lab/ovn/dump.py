"""A pasted terminal, or a file per zone, or JSON: cut into zones, rows and inventory, line by line.

Nothing is judged here. What is not understood is noted with its line and passed over: prompts, fences and other
commands stand between the rows of real pastes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.ovn import inventory as inv
from lab.ovn.lines import printable
from lab.ovn.nbjson import Marks, rows_of
from lab.ovn.routes import MAIN, POLICIES, Route, looks_cut, parse_row
from lab.ovn.tables import SELF, Leg, Legs, Tables

ROUTER = "ovn_cluster_router"
_COMMAND = re.compile(r"\blr-route-list\b(?:\s+([-\w.]+))?")
_HEADING = re.compile(r"^\s*IPv([46]) Routes\s*$")
_TABLE = re.compile(r"^\s*Route Table (\S+):\s*$")
_FILE = re.compile(r"^==> (.+) <==$")
_NAMESPACE = re.compile(r"(?:-n|--namespace)[= ]([-a-z0-9.]+)")
_CONTAINER = re.compile(r"(?:-c|--container)[= ]([-a-z0-9.]+)")
_CLIENT = re.compile(r"\b(oc|kubectl)\b")


@dataclass
class Zone:
    """One dump of a cluster router, as it was found."""

    index: int
    source: str
    line: int
    pod: str = ""
    namespace: str = ""
    container: str = ""
    client: str = ""
    router: str = ROUTER
    name: str = ""
    """From a file's name or the dump itself; the inventory may know better."""
    rows: int = 0
    cut: str = ""
    """Why absent rows prove nothing here; empty for a whole dump."""
    marks: Marks = field(default_factory=Marks)
    odd: list[tuple[Route, int]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """How to call it when its node is not known."""
        return self.pod or self.name or f"{self.source}:{self.line}"


class Sink(Protocol):
    """Who takes zones."""

    def opened(self, zone: Zone) -> None:
        """A zone begins."""

    def closed(self, zone: Zone, table: dict[str, Legs]) -> None:
        """A zone ended; *table* is all it said."""

    def note(self, where: str, text: str) -> None:
        """Something was passed over."""


class Scanner:
    """Feed it the lines of one source; `wanted` prefixes make it report the lines of their rows to `found`."""

    def __init__(self, sink: Sink, tables: Tables, facts: inv.Inventory) -> None:
        self.sink = sink
        self.tables = tables
        self.facts = facts
        self.wanted: frozenset[str] = frozenset()
        self.found: dict[tuple[int, str], list[tuple[str, int, str]]] = {}
        self.zones = 0
        self._tails: dict[str, Legs] = {}
        self._selves: dict[str, Legs] = {}
        self._other: dict[str, bool] = {}

    def begin(self, source: str) -> None:
        """A new source; a pod's name in its path names the zone in it."""
        self.source = source
        self.zone: Zone | None = None
        self.rows: dict[str, Legs] = {}
        self._route_table = MAIN
        self._families: set[int] = set()
        self._header = ""
        self._json: list[str] = []
        self._hint = self._named(source)
        self._skip = ""
        self.useful = 0
        self._odd_lines = 0

    def cut(self, why: str) -> None:
        """The source breaks off here."""
        if self.zone is not None:
            self.zone.cut = why

    def end(self) -> None:
        """The source ended."""
        if self._json:
            self.sink.note(self.source, "JSON that ends before its closing brace: not read")
        self._close()

    def feed(self, first: int, lines: list[str], unfinished: bool) -> None:
        """Lines, the first one's number, and whether the last one lacks its line end."""
        tails, selves = self._tails, self._selves
        number = first - 1
        for line in lines:
            number += 1
            parts = line.split(None, 1)
            if len(parts) == 2 and not self._json:
                prefix, tail = parts
                legs = tails.get(tail)
                if legs is None:
                    nexthop, _, rest = tail.partition(" ")
                    legs = selves.get(rest) if nexthop == prefix else None
                if legs is not None and self.zone is not None and self._route_table == MAIN and not self._skip:
                    if self.wanted and prefix in self.wanted:
                        self._locate(prefix, line, number)
                    rows = self.rows
                    rows[prefix] = self.tables.both(rows[prefix], legs) if prefix in rows else legs
                    continue
            elif not parts and not self._json:
                self._header = ""
                continue
            self._line(line, number)
        if unfinished and self.zone is not None:
            self._last(lines[-1], number)

    def _line(self, line: str, number: int) -> None:
        if self._json or line in ("{", "["):
            self._gather(line, number)
        elif line.startswith(('{"', '[{"', '{ "')):
            self._document(line, number)
        elif (route := parse_row(line, self._route_table)) is not None:
            self._row(route, line, number)
        else:
            self._words(line, number)

    def _row(self, route: Route, line: str, number: int) -> None:
        if self._skip:
            return
        zone = self.zone or self._open(number)
        marks = tuple(f for f in route.flags if f != "ecmp")
        if route.table != MAIN or marks or route.nexthop == "discard" or not route.nexthop:
            zone.odd.append((route, number))
            return
        own = route.nexthop == route.prefix
        legs = self.tables.legs(Leg(SELF if own else route.nexthop, route.policy, route.port))
        nexthop, _, rest = line.split(None, 1)[1].partition(" ")
        if own:
            self._selves[rest] = legs
        else:
            self._tails[f"{nexthop} {rest}"] = legs
        if self.wanted and route.prefix in self.wanted:
            self._locate(route.prefix, line, number)
        before = self.rows.get(route.prefix)
        self.rows[route.prefix] = legs if before is None else self.tables.both(before, legs)

    def _words(self, line: str, number: int) -> None:
        """Whatever is no row: headings, commands, tables of pods and nodes, names of the zone to come."""
        if heading := _HEADING.match(line):
            self._heading(int(heading[1]), number)
        elif table := _TABLE.match(line):
            self._route_table = table[1]
        elif command := _COMMAND.search(line):
            self._command(line, command[1] or ROUTER, number)
        elif inv.HEADER.match(line):
            self._close()
            self._header = line
        elif self._inventory(line, number):
            self.useful += 1
        elif line.strip() in ("...", "…", "[...]") and self.zone is not None:
            self.zone.cut = self.zone.cut or f"rows left out at line {number}"
        elif self.zone is not None and looks_cut(line):
            self.zone.cut = f"line {number} is cut off"
        elif self.zone is not None and any(word in POLICIES for word in line.split()[:8]):
            self._odd(line, number)
        elif pod := inv.OVNKUBE.search(line):
            self._close()
            self._hint = Zone(-1, self.source, number, pod[0], *_options(line))
        elif mark := _FILE.match(line):
            self._close()
            self._hint = self._named(mark[1])

    def _inventory(self, line: str, number: int) -> bool:
        if self._header and inv.pod_row(self.facts, self._header, line, f"{self.source}:{number}"):
            return True
        return line.rstrip().endswith("}") and inv.subnet_row(self.facts, line)

    def _odd(self, line: str, number: int) -> None:
        self._odd_lines += 1
        if self._odd_lines <= 5:
            self.sink.note(f"{self.source}:{number}", f"no row that ovn-nbctl prints: {printable(line.strip(), 120)}")

    def _heading(self, family: int, number: int) -> None:
        """A family comes once in a dump, IPv4 first: seen again, another zone began without a word."""
        if self.zone is not None and self._families and max(self._families) >= family:
            self._close()
        if self.zone is None and not self._skip:
            self._open(number)
        self._families.add(family)
        self._route_table = MAIN

    def _command(self, line: str, router: str, number: int) -> None:
        self._close()
        pod = inv.OVNKUBE.search(line)
        if pod is not None:
            self._hint = Zone(-1, self.source, number, pod[0], *_options(line))
        if router != ROUTER:
            self._skip = router
            self.sink.note(f"{self.source}:{number}", f"routes of {printable(router)}, not of {ROUTER}: passed over")

    def _open(self, number: int) -> Zone:
        hint, self._hint = self._hint, Zone(-1, self.source, 0)
        zone = Zone(self.zones, self.source, number, hint.pod, hint.namespace, hint.container, hint.client)
        zone.name = hint.name
        self.zones += 1
        self.zone = zone
        self.rows = {}
        self.sink.opened(zone)
        return zone

    def _close(self) -> None:
        zone, self.zone, self._skip = self.zone, None, ""
        self._families = set()
        self._route_table = MAIN
        if zone is not None:
            zone.rows = len(self.rows)
            self.useful += zone.rows
            self.sink.closed(zone, self.rows)
        self.rows = {}

    def _last(self, line: str, number: int) -> None:
        """A file without a last line end may end inside a word; a whole dump ends with a src-ip row."""
        route = parse_row(line)
        if self.zone is None or (route is None and line.strip()) or (route and route.policy == "src-ip"):
            return
        self.zone.cut = f"the file ends within line {number}"
        if route is not None and route.port:
            self.rows.pop(route.prefix, None)

    def _locate(self, prefix: str, line: str, number: int) -> None:
        if self.zone is not None:
            text = " ".join(line.split())
            self.found.setdefault((self.zone.index, prefix), []).append((self.source, number, printable(text, 160)))

    def _named(self, path: str) -> Zone:
        match = inv.OVNKUBE.search(path)
        stem = path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
        return Zone(-1, self.source, 0, match[0] if match else "", name=printable(stem, 80))

    def _gather(self, line: str, number: int) -> None:
        """A document over several lines, as ``oc get -o json`` prints it: from a lone brace to a lone brace."""
        self._json.append(line)
        if line in ("}", "]"):
            text, self._json = "\n".join(self._json), []
            self._document(text, number - text.count("\n"))

    def _document(self, text: str, number: int) -> None:
        where = f"{self.source}:{number}"
        try:
            document: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.sink.note(where, f"no JSON: {printable(str(error))}")
            return
        routes = rows_of(document)
        if routes is None:
            used = inv.objects(self.facts, document, where) if isinstance(document, dict) else 0
            self.useful += used
            if not used:
                self.sink.note(where, "JSON of neither routes, pods, VMIs nor nodes: passed over")
            return
        self._close()
        zone = self._open(number)
        zone.marks = routes.marks
        for route, loose, uuid in routes.rows:
            self._json_row(zone, route, loose, uuid, number)
        self._close()

    def _json_row(self, zone: Zone, route: Route, loose: bool, uuid: str, number: int) -> None:
        if route.table != MAIN or route.nexthop == "discard" or not route.nexthop or route.flags:
            zone.odd.append((route, number))
            return
        own = route.nexthop == route.prefix
        legs = self.tables.legs(Leg(SELF if own else route.nexthop, route.policy, route.port, loose=loose))
        if route.prefix in self.wanted:
            self._locate(route.prefix, f"{route} _uuid={uuid}", number)
        before = self.rows.get(route.prefix)
        self.rows[route.prefix] = legs if before is None else self.tables.both(before, legs)


def _options(line: str) -> tuple[str, str, str]:
    """Namespace, container and client of an ``oc exec``, each empty where it does not say."""
    found = (_NAMESPACE.search(line), _CONTAINER.search(line), _CLIENT.search(line))
    namespace, container, client = (match[1] if match is not None else "" for match in found)
    return namespace, container, client
