"""Lists as the server prints them: the Table that ``kubectl get`` asks for, and what kubectl made of one. Pure but for
the request.

Columns and cells are the server's (meta.k8s.io/v1 Table); kubectl adds the resource before each name when it prints
several kinds, and leaves columns of a lower priority to ``-o wide``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.access.client import Client
from lab.access.kinds import Kind

ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Table:
    """Headings in capitals, and the cells of each row as text; the first one of each row is ``resource/name``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join("   ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def fetch(client: Client, kind: Kind, *, labels: str = "", fields: str = "") -> Table:
    """What ``kubectl get`` shows of a kind; selectors as kubectl takes them. Raises as Client.list."""
    params = {key: text for key, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
    body = client.transport.request(
        "GET", client.path(kind), params=params, accept=ACCEPT, wanted=f"the table of {kind}"
    )
    return read_table(json.loads(body), kind)


def read_table(table: Mapping[str, Any], kind: Kind) -> Table:
    """A Table of the API as kubectl shows it."""
    group = kind.api_version.rpartition("/")[0]
    resource = ".".join(part for part in (kind.kind.lower(), group) if part)
    definitions = list(table.get("columnDefinitions") or [])
    shown = [i for i, column in enumerate(definitions) if not column.get("priority")]
    rows = []
    for row in table.get("rows") or []:
        cells = ["" if row["cells"][i] is None else str(row["cells"][i]) for i in shown]
        rows.append((f"{resource}/{cells[0]}", *cells[1:]))
    return Table(tuple(str(definitions[i]["name"]).upper() for i in shown), tuple(rows))


def printed(text: str) -> list[Table]:
    """What kubectl printed, a table after each blank line; columns are two or more blanks apart."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        head, *rest = (tuple(re.split(r"\s{2,}", line.strip())) for line in block.splitlines())
        found.append(Table(head, tuple(rest)))
    return found
