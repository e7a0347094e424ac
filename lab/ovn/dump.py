"""A pasted terminal, or a file per zone, or JSON: cut into zones, rows and inventory, line by line.

Nothing is judged here. What is not understood is noted with its line and passed over: prompts, fences and other
commands stand between the rows of real pastes. Where a whole piece of text is rows of a kind seen before, it is taken
by a few calls that work on all of it at once; that is what makes a million rows quick.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from functools import partial
from typing import Any

from lab.ovn import hints, nbdata
from lab.ovn import inventory as inv
from lab.ovn.documents import Documents
from lab.ovn.lines import printable
from lab.ovn.routes import DISCARD, MAIN, POLICIES, Route, is_prefix, looks_cut, parse_row
from lab.ovn.switch import _row as ovsdb_row
from lab.ovn.tables import SELF, Leg, Legs, Tables
from lab.ovn.zone import Sink, Zone

ROUTER = nbdata.ROUTER
_PLAIN = re.compile(r"^ *([0-9a-f.:]+(?:/[0-9]+)?) +(?:\1(?= ))?(.*)$", re.M)
"""Prefix and the rest of a row; an address that is its own next hop is left out there and a blank begins the rest."""
_FOUR, _SIX = (partial(socket.inet_pton, family) for family in (socket.AF_INET, socket.AF_INET6))
_HEADING = re.compile(r"^\s*IPv([46]) Routes\s*$")
_TABLE = re.compile(r"^\s*Route Table (\S+):\s*$")
_FILE = re.compile(r"^==> (.+) <==$")
_FAILED = re.compile(r"^\s*(error:|Error from server|ovn-nbctl: |command terminated with|Unable to connect)", re.I)
_ODD_NOTES = 5


class Scanner:
    """Feed it the text of one source; `wanted` prefixes make it report the lines of their rows to `found`."""

    def __init__(self, sink: Sink, tables: Tables, facts: inv.Inventory) -> None:
        self.sink = sink
        self.tables = tables
        self.facts = facts
        self.wanted: frozenset[str] = frozenset()
        self.found: dict[tuple[int, str], list[tuple[str, int, str]]] = {}
        self.zones = 0
        self._tails: dict[str, Legs] = {}
        self._documents = Documents(self._document, lambda line, text: self._note(line, text))

    def begin(self, source: str) -> None:
        """A new source; a pod's name in its path names the zone in it."""
        self.source = source
        self.zone: Zone | None = None
        self._route_table = MAIN
        self._families: set[int] = set()
        self._header = ""
        self._hint = hints.of_path(source, source)
        self._skip = ""
        self._database: dict[str, list[dict[str, Any]]] = {}
        self._number = 0
        self._documents.begin(inv.kind_of_file(source))
        self.useful = 0
        self.inventory = 0
        self._odd_lines = 0

    def cut(self, why: str) -> None:
        """The source breaks off here."""
        if self.zone is not None:
            self.zone.cut = why

    def end(self) -> None:
        """The source ended."""
        self._documents.end(self._number)
        self._close()

    def feed(self, first: int, text: str, unfinished: bool) -> None:
        """Lines, the first one's number, and whether the last one lacks its line end."""
        number = first
        for piece in hints.pieces(text):
            count = piece.count("\n") + 1
            if not self._at_once(piece, count):
                self._one_by_one(piece.split("\n"), number)
            number += count
        self._number = number - 1
        if unfinished and self.zone is not None:
            self._last(text.rpartition("\n")[2], self._number)

    def _rows_only(self) -> bool:
        """Whether a row that comes now is one of the zone's main table."""
        return self.zone is not None and self._route_table == MAIN and not self._skip and not self._documents.open

    def _at_once(self, piece: str, count: int) -> bool:
        """Take a piece whose lines are all rows of known kinds, no prefix twice; False: nothing was taken."""
        if not self._rows_only():
            return False
        found = _PLAIN.findall(piece)
        if len(found) != count:
            return False
        prefixes, rests = zip(*found, strict=True)
        tails = self._tails
        if not tails.keys() >= set(rests):
            return False
        new = dict(zip(prefixes, map(tails.__getitem__, rests), strict=True))
        if self.zone is None or len(new) != count or not self.wanted.isdisjoint(new):
            return False
        nets = {prefix: new.pop(prefix) for prefix in prefixes if "/" in prefix} if "/" in piece else {}
        try:
            deque(map(_SIX if ":" in prefixes[0] else _FOUR, new), maxlen=0)
        except OSError:
            return False
        if not all(map(is_prefix, nets)):
            return False
        self.tables.add_many(self.zone.index, new, nets)
        self.zone.rows += count
        return True

    def _one_by_one(self, lines: list[str], number: int) -> None:
        tails = self._tails
        rows_only = self._rows_only()
        number -= 1
        for line in lines:
            number += 1
            parts = line.split(None, 1)
            if rows_only and len(parts) == 2:
                prefix, tail = parts
                nexthop, _, rest = tail.partition(" ")
                legs = tails.get(f" {rest}" if nexthop == prefix else tail)
                if legs is not None and is_prefix(prefix):
                    self._add(prefix, legs, line, number)
                    continue
            if not parts and not self._documents.open:
                self._header = ""
                continue
            self._line(line, number)
            rows_only = self._rows_only()

    def _line(self, line: str, number: int) -> None:
        if self._documents.open and _HEADING.match(line):
            self._documents.end(number)
        if self._documents.feed(line, number):
            return
        if (route := parse_row(line, self._route_table)) is not None:
            self._row(route, line, number)
        elif line.startswith((">", "|")) and (
            parse_row(line[1:]) or _HEADING.match(line[1:]) or hints.COMMAND.search(line)
        ):
            self._line(line[1:].strip(), number)
        else:
            self._words(line, number)

    def _row(self, route: Route, line: str, number: int) -> None:
        if self._skip:
            return
        zone = self.zone or self._start(number)
        legs = self._legs(zone, route, number)
        if legs is None:
            return
        nexthop, _, rest = line.split(None, 1)[1].partition(" ")
        self._tails[f" {rest}" if nexthop == route.prefix else f"{nexthop} {rest}"] = legs
        self._add(route.prefix, legs, line, number)

    def _legs(self, zone: Zone, route: Route, number: int, *, loose: bool = False) -> Legs | None:
        """What a row says besides its prefix; None for one that OVN-Kubernetes does not make."""
        marks = tuple(f for f in route.flags if f != "ecmp")
        if route.table != MAIN or marks or route.nexthop == DISCARD or not route.nexthop:
            zone.odd.append((route, number))
            return None
        if route.port.startswith("rtoe-"):
            zone.gateway = route.port
        own = route.nexthop == route.prefix
        return self.tables.legs(Leg(SELF if own else route.nexthop, route.policy, route.port, loose=loose))

    def _add(self, prefix: str, legs: Legs, text: str, number: int) -> None:
        if self.zone is None:
            return
        if prefix in self.wanted:
            shown = printable(" ".join(text.split()), 160)
            self.found.setdefault((self.zone.index, prefix), []).append((self.source, number, shown))
        self.tables.add(self.zone.index, prefix, legs)
        self.zone.rows += 1

    def _words(self, line: str, number: int) -> None:
        """Whatever is no row: headings, commands, tables of pods and nodes, names of the zone to come."""
        if heading := _HEADING.match(line):
            self._heading(int(heading[1]), number)
        elif table := _TABLE.match(line):
            self._route_table = table[1].replace("&lt;", "<").replace("&gt;", ">")
        elif command := hints.COMMAND.search(line):
            self._command(line, command[1] or ROUTER, number)
        elif inv.HEADER.match(line):
            self._close()
            self._header = line
        elif self._inventory(line, number):
            self.useful += 1
            self.inventory += 1
        elif _FAILED.match(line):
            self._note(number, f"a command that failed: {printable(line.strip(), 200)}")
        elif line.strip() in ("...", "…", "[...]") and self.zone is not None:
            self.zone.cut = self.zone.cut or f"rows left out at line {number}"
        elif self.zone is not None and looks_cut(line):
            self.zone.cut = f"line {number} is cut off"
        elif self.zone is not None and any(word in POLICIES for word in line.split()[:8]):
            self._odd(line, number)
        elif hint := hints.of_line(self.source, number, line):
            self._close()
            self._hint = hint
        elif mark := _FILE.match(line):
            self._close()
            self._hint = hints.of_path(self.source, mark[1])

    def _inventory(self, line: str, number: int) -> bool:
        if self._header and inv.table_row(self.facts, self._header, line, f"{self.source}:{number}"):
            return True
        return line.rstrip().endswith("}") and inv.subnet_row(self.facts, line)

    def _note(self, number: int, text: str) -> None:
        self.sink.note(f"{self.source}:{number}", text)

    def _odd(self, line: str, number: int) -> None:
        self._odd_lines += 1
        if self._odd_lines <= _ODD_NOTES:
            self._note(number, f"no row that ovn-nbctl prints: {printable(line.strip(), 120)}")

    def _heading(self, family: int, number: int) -> None:
        """A family comes once in a dump, IPv4 first: seen again, another zone began without a word."""
        if self.zone is not None and self._families and max(self._families) >= family:
            self._close()
        if self.zone is None and not self._skip:
            self._start(number)
        self._families.add(family)
        self._route_table = MAIN

    def _command(self, line: str, router: str, number: int) -> None:
        self._close()
        self._hint = hints.of_line(self.source, number, line) or self._hint
        if router != ROUTER:
            self._skip = router
            self._note(number, f"routes of {printable(router)}, not of {ROUTER}: passed over")

    def _start(self, number: int) -> Zone:
        """Printed rows begin; tables that came before are another zone's."""
        self._flush()
        return self._open(number)

    def _flush(self) -> None:
        if self._database:
            tables, self._database = self._database, {}
            self.database(tables)

    def _open(self, number: int) -> Zone:
        hint, self._hint = self._hint, Zone(-1, self.source, 0)
        zone = Zone(self.zones, self.source, number, hint.pod, hint.namespace, hint.container, hint.client)
        zone.name = hint.name
        self.zones += 1
        self.zone = zone
        self.sink.opened(zone)
        return zone

    def _close(self) -> None:
        if self.zone is None:
            self._flush()
        zone, self.zone, self._skip = self.zone, None, ""
        self._families = set()
        self._route_table = MAIN
        if zone is not None:
            self.useful += zone.rows
            self.tables.closed()
            self.sink.closed(zone)

    def _last(self, line: str, number: int) -> None:
        """A file without a last line end may end inside a word; a whole dump ends with a src-ip row."""
        route = parse_row(line)
        if self.zone is None or (route is None and line.strip()) or (route and route.policy == "src-ip"):
            return
        self.zone.cut = f"the file ends within line {number}"
        if route is not None and route.port:
            self.tables.forget(self.zone.index, route.prefix)

    def _document(self, document: Any, kind: str, number: int) -> None:
        """A JSON or YAML document: a table of a database, or objects of a cluster."""
        headings = document.get("headings") if isinstance(document, dict) else None
        if isinstance(headings, list) and isinstance(document.get("data"), list):
            self._table(headings, document["data"], number)
            return
        used = inv.objects(self.facts, document, f"{self.source}:{number}", kind) if isinstance(document, dict) else 0
        self.useful += used
        self.inventory += used
        if not used:
            self._note(number, "neither routes, pods, VMIs nor nodes: passed over")

    def _table(self, headings: list[Any], data: list[Any], number: int) -> None:
        """One table of a database; the same table again is another zone's."""
        name = nbdata.table_of(map(str, headings))
        if not name:
            self._note(number, f"a table with the columns {printable(', '.join(map(str, headings)), 120)}: passed over")
            return
        if name in self._database or self.zone is not None:
            self._close()
        rows = self._database[name] = []
        for entry in data:
            try:
                rows.append({**ovsdb_row(headings, entry), nbdata.LINE: number})
            except (ValueError, TypeError, AttributeError):
                continue

    def database(self, tables: nbdata.Tables, cut: str = "") -> None:
        """A zone's database as tables, printed or from a file of OVSDB's own. *cut*: why it is not whole."""
        read = nbdata.read(tables)
        first = min((row[3] for row in read.rows), default=1)
        if nbdata.ROUTES not in tables:
            self._note(first, f"tables without {nbdata.ROUTES}: passed over")
            return
        zone = self._open(first)
        zone.cut = cut
        zone.take(read)
        if read.rows:
            zone.note_names(self.facts)
        for route, loose, uuid, number in read.rows:
            legs = self._legs(zone, route, number, loose=loose)
            if legs is not None:
                self._add(route.prefix, legs, f"{route} _uuid={uuid}", number)
        self._close()
