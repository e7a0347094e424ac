"""Connection profiles as ``nmcli`` lists them, for people and for programs, and the settings of one.

Pure. The type is the one that people read: ``ethernet``, ``bridge``; a profile that is on no device has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.netmanager import terse

NONE = "--"
FIELDS = ("NAME", "UUID", "TYPE", "DEVICE")
_TERSE_TYPES = {"802-3-ethernet": "ethernet", "802-11-wireless": "wifi"}
# A name may have any signs, blanks too, so that the row is read around its UUID.
_ROW = re.compile(
    r"(?P<name>.*\S) +(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) +(?P<type>\S+) +(?P<device>\S+) *"
)
_SETTING = re.compile(r"(?P<key>[a-z0-9-]+\.[a-z0-9-]+):\s*(?P<value>.*?)\s*")


@dataclass(frozen=True)
class Profile:
    """One row of ``nmcli con show``."""

    name: str
    uuid: str
    type: str
    device: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {'on ' + self.device if self.device else 'on no device'})"


def read_table(text: str) -> list[Profile]:
    """``nmcli con show``. Raises ValueError for a line that is no row of it, the heading apart."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or tuple(lines[0].split()) != FIELDS:
        raise ValueError(f"wanted the heading {' '.join(FIELDS)}, found {lines[0] if lines else 'nothing'!r}")
    found = []
    for line in lines[1:]:
        row = _ROW.fullmatch(line)
        if row is None:
            raise ValueError(f"wanted name, UUID, type and device, found {line!r}")
        found.append(Profile(row["name"], row["uuid"], row["type"], row["device"] if row["device"] != NONE else ""))
    return found


def read_terse(text: str) -> list[Profile]:
    """``nmcli -t -f NAME,UUID,TYPE,DEVICE con show``. Raises ValueError."""
    return [
        Profile(row["NAME"], row["UUID"], _TERSE_TYPES.get(row["TYPE"], row["TYPE"]), row["DEVICE"])
        for row in terse.rows(text, FIELDS)
    ]


def read_settings(text: str) -> dict[str, str]:
    """``nmcli -f SETTING con show NAME``: property -> value, empty for ``--``. Raises ValueError for another line."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _SETTING.fullmatch(line)
        if match is None:
            raise ValueError(f"wanted a line such as `bridge.stp: no`, found {line!r}")
        found[match["key"]] = "" if match["value"] == NONE else match["value"]
    return found
