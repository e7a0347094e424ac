"""OVSDB's notation of values, as a database file and the tools' JSON write it (RFC 7047, 5.1)."""

from __future__ import annotations

from typing import Any


def value(written: Any) -> Any:
    """Sets, maps and UUIDs are tagged lists; a set of one is its member."""
    match written:
        case ["uuid", uuid]:
            return uuid
        case ["set", items]:
            return [value(item) for item in items]
        case ["map", pairs]:
            return {key: value(item) for key, item in pairs}
        case _:
            return written
