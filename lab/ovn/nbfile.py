"""OVSDB's own files as they lie in a must-gather: standalone, clustered, compacted or not, copied from a live server.

Read as a stream, without OVN's programs and without writing a copy: the format is a log of JSON records, each with its
length and SHA-1 (ovsdb(5), "Standalone Database Format" and "Clustered Database Format"). A copy from a live server may
end inside of a record: what is before it counts, as it does for ovsdb-server. Values of which the schema says that they
are sets or maps are stored as differences where a transaction says ``_is_diff`` (Open vSwitch 3.1 and later).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.ovn import ovsdb
from lab.ovn.nbdata import COLUMNS, LINE

MAGIC = (b"OVSDB JSON ", b"OVSDB CLUSTER ")
RECORD_LIMIT = 512 << 20
"""Bytes of one record. A compacted database is a single one."""
NORTHBOUND = "OVN_Northbound"
_HEADER = re.compile(rb"OVSDB (JSON|CLUSTER) (\d{1,12}) ([0-9a-f]{40})\n?$")
_SPACE = re.compile(r"[\s,:]*")
_DIFF = re.compile(r'[{,]\s*"_is_diff"\s*:\s*true')
_DECODER = json.JSONDecoder()


class Stream(Protocol):
    """What is read from."""

    def read(self, size: int) -> bytes:
        """As a file's; shorter pieces are possible."""
        ...


class Damaged(Exception):
    """The file is no database, or not of this kind."""


@dataclass
class NbFile:
    """The tables of :data:`lab.ovn.nbdata.COLUMNS`, each row with the line it was last changed in."""

    schema: str = ""
    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    broken: str = ""
    """Why not everything was read, empty otherwise."""

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Table -> rows, as :func:`lab.ovn.nbdata.read` takes them."""
        return {name: list(rows.values()) for name, rows in self.tables.items()}


def read_file(stream: Stream) -> NbFile:
    """The state that the log ends with. Raises Damaged when already its beginning makes no sense."""
    log = _Log(NbFile())
    for number, (clustered, data) in enumerate(_records(stream, log.file)):
        try:
            (log.clustered if clustered else log.standalone)(number, data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            if number == 0:
                raise Damaged(f"no schema in its first record ({type(error).__name__})") from error
            log.file.broken = f"record {number + 1} makes no sense: read up to there"
            break
        if log.file.schema and log.file.schema != NORTHBOUND:
            return log.file
    if not log.file.schema:
        raise Damaged(log.file.broken or "no record in it")
    log.finish()
    return log.file


def _records(stream: Stream, file: NbFile) -> Iterator[tuple[bool, str]]:
    """(clustered?, text) of each record that is whole."""
    buffer = bytearray()
    number = 0
    while True:
        number += 1
        if not _fill(stream, buffer, 80) and not buffer:
            return
        line = bytes(buffer[: buffer.find(b"\n") + 1 or 80])
        match = _HEADER.match(line)
        if match is None:
            file.broken = f"record {number} has no header of OVSDB: read up to there"
            return
        size = int(match[2])
        if size > RECORD_LIMIT:
            file.broken = f"record {number} has {size >> 20} MiB, more than {RECORD_LIMIT >> 20}: read up to there"
            return
        del buffer[: len(line)]
        if not _fill(stream, buffer, size):
            file.broken = f"it ends within record {number}: read up to there"
            return
        data = bytes(buffer[:size])
        del buffer[:size]
        if hashlib.sha1(data, usedforsecurity=False).hexdigest().encode() != match[3]:
            file.broken = f"record {number} is not what its SHA-1 says: read up to there"
            return
        yield match[1] == b"CLUSTER", data.decode("utf-8", "replace")


def _fill(stream: Stream, buffer: bytearray, size: int) -> bool:
    """Whether at least *size* bytes are in the buffer now."""
    while len(buffer) < size:
        piece = stream.read(max(1 << 16, min(size - len(buffer), 1 << 22)))
        if not piece:
            return False
        buffer += piece
    return True


class _Log:
    """The tables while the log is replayed."""

    def __init__(self, file: NbFile) -> None:
        self.file = file
        self.sets: dict[tuple[str, str], bool] = {}
        """(table, column) that can hold several values: the ones stored as differences."""
        self.pending: list[tuple[int, int, str]] = []
        """Entries of a clustered log that no record says to be committed: (index, record, text)."""

    def standalone(self, number: int, text: str) -> None:
        """The first record is the schema, each other one a transaction."""
        if number == 0:
            self._schema(json.loads(text))
        else:
            self._apply(text, 0, 2 * number + 2)

    def clustered(self, number: int, text: str) -> None:
        """The first record is a snapshot; entries with an index used before take the earlier ones' place."""
        if number == 0:
            if (at := _find(text, "prev_data")) is not None:
                self._entry(text, at, 2)
            return
        if (committed := _number(text, "commit_index")) is not None:
            self._commit(committed)
            return
        index = _number(text, "index")
        if index is None or _find(text, "data") is None:
            return
        self.pending = [entry for entry in self.pending if entry[0] < index]
        self.pending.append((index, number, text))
        if not self.file.schema:
            self._commit(index)

    def finish(self) -> None:
        """What was written and not yet marked as committed counts too, as for ``ovsdb-tool cluster-to-standalone``."""
        self._commit(max((index for index, _, _ in self.pending), default=0))

    def _commit(self, index: int) -> None:
        for at, number, text in self.pending:
            start = _find(text, "data")
            if at <= index and start is not None:
                self._entry(text, start, 2 * number + 2)
        self.pending = [entry for entry in self.pending if entry[0] > index]

    def _entry(self, text: str, at: int, line: int) -> None:
        """``[schema or null, transaction or null]``."""
        at = _skip(text, at)
        if text[at] != "[":
            return
        schema, at = _DECODER.raw_decode(text, _skip(text, at + 1))
        if schema:
            self._schema(schema)
        at = _skip(text, at)
        if text[at] == "{":
            self._apply(text, at, line)

    def _schema(self, schema: Mapping[str, Any]) -> None:
        self.file.schema = str(schema["name"])
        for table, columns in COLUMNS.items():
            known = (schema["tables"].get(table) or {}).get("columns") or {}
            for column in columns:
                kind = (known.get(column) or {}).get("type")
                self.sets[table, column] = isinstance(kind, dict) and kind.get("max", 1) != 1

    def _apply(self, text: str, at: int, line: int) -> None:
        """One transaction. Rows are decoded one by one, so that a whole database in one record needs no more room."""
        diff = _DIFF.search(text, at) is not None
        for table, uuid, row in _rows(text, at):
            if table in COLUMNS:
                self._change(table, self.file.tables.setdefault(table, {}), uuid, row, diff, line)

    def _change(self, table: str, rows: dict[str, dict[str, Any]], uuid: str, new: Any, diff: bool, line: int) -> None:
        if new is None:
            rows.pop(uuid, None)
            return
        fresh = uuid not in rows
        row = rows.setdefault(uuid, {"_uuid": uuid, "external_ids": {}})
        for column in COLUMNS[table]:
            if column in new:
                value = ovsdb.value(new[column])
                changed = diff and not fresh and self.sets.get((table, column))
                row[column] = _changed(row.get(column), value) if changed else value
        row[LINE] = line


def _changed(old: Any, difference: Any) -> Any:
    """A set or map after a difference (ovsdb_datum_apply_diff): members of one side only; a map's new values."""
    if isinstance(difference, dict):
        result = dict(old or {})
        for key, value in difference.items():
            if key in result and result[key] == value:
                del result[key]
            else:
                result[key] = value
        return result
    known = old if isinstance(old, list) else [] if old is None else [old]
    new = difference if isinstance(difference, list) else [difference]
    keep = dict.fromkeys(known)
    for item in new:
        if item in keep:
            del keep[item]
        else:
            keep[item] = None
    return list(keep)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at


def _rows(text: str, at: int) -> Iterator[tuple[str, str, Any]]:
    """(table, UUID, row) of the transaction at *at*."""
    at = _skip(text, text.index("{", at) + 1)
    while text[at] != "}":
        table, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != "{":
            _, at = _DECODER.raw_decode(text, at)
        else:
            at = _skip(text, at + 1)
            while text[at] != "}":
                uuid, at = _DECODER.raw_decode(text, at)
                row, at = _DECODER.raw_decode(text, _skip(text, at))
                yield table, uuid, row
                at = _skip(text, at)
            at += 1
        at = _skip(text, at)


def _find(text: str, name: str) -> int | None:
    """Where the value of a key begins. A string cannot look like a key: its quotes have backslashes before them."""
    match = re.search(rf'[{{,]\s*"{name}"\s*:\s*', text)
    return match.end() if match is not None else None


def _number(text: str, name: str) -> int | None:
    at = _find(text, name)
    return int(_DECODER.raw_decode(text, at)[0]) if at is not None else None
