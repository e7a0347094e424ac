"""What ``nmcli -t`` prints: one row per line, fields between colons, a colon or backslash in a field escaped by one.

Pure (NetworkManager libnmc-base/nm-client-utils.c and nmcli(1), "--terse" and "--escape").
"""

from __future__ import annotations

from collections.abc import Sequence


def fields(line: str) -> list[str]:
    """The fields of one row. A backslash before anything else, or at the end, stands for itself."""
    found = [""]
    signs = iter(line)
    for sign in signs:
        if sign == ":":
            found.append("")
        elif sign == "\\":
            following = next(signs, "")
            found[-1] += following if following in (":", "\\") and following else sign + following
        else:
            found[-1] += sign
    return found


def rows(text: str, names: Sequence[str]) -> list[dict[str, str]]:
    """Every row by the names of its fields, as given to ``-f``. Raises ValueError for a row with another number."""
    found = []
    for line in text.splitlines():
        values = fields(line)
        if len(values) != len(names):
            raise ValueError(f"wanted {len(names)} fields ({','.join(names)}), found {len(values)}: {line!r}")
        found.append(dict(zip(names, values, strict=True)))
    return found
