"""Judging what the server prints against what a document shows: same columns, same cells, this lab's workers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.access.kinds import NNCE, NNCP
from lab.access.table import Table, fetch, printed
from lab.core.deadline import Deadline
from lab.core.errors import ProductFailure, WaitTimeout
from lab.core.wait import Seen, Signal, wait_until
from lab.nmstate.policy import POLICY_LABEL
from lab.topology.site import Site

SHOWN_S = 15.0
AGE = re.compile(r"(\d+[smhdy])+")
"""As kubectl prints spans of time: ``9s``, ``2m11s``, ``3d``."""


def policy_as_documented(site: Site, name: str, document: str) -> None:
    """Wait until `kubectl get nncp,nnce` shows a policy as *document* does: its own status follows its enactments.

    Raises ProductFailure with the differences and with both tables.
    """
    wanted, signal, tables = printed(document), Signal(), [Table((), ())]
    with site.client.watch(NNCP, signal=signal) as watch:

        def observe() -> Seen[None]:
            while watch.take(0):
                pass
            tables[:] = [
                fetch(site.client, NNCP, fields=f"metadata.name={name}"),
                fetch(site.client, NNCE, labels=f"{POLICY_LABEL}={name}"),
            ]
            differences = compare(tables, wanted, name, site.workers)
            return Seen("; ".join(differences) or "as documented", not differences)

        try:
            wait_until(
                f"policy {name}",
                "its tables as documented",
                observe,
                deadline=Deadline.after(SHOWN_S),
                changes=signal,
            )
        except WaitTimeout as error:
            shown = "\n\n".join(map(str, tables))
            raise ProductFailure(
                f"the tables of {name} as documented", f"{error.last}\n{shown}", advice=f"documented is:\n{document}"
            ) from error
    site.say(line for table in tables for line in str(table).splitlines())


def compare(found: Sequence[Table], documented: Sequence[Table], policy: str, workers: Sequence[str]) -> list[str]:
    """How tables differ; empty when they do not. Ages may be any, and a row is documented for each of *workers*."""
    differences = []
    for mine, theirs in zip(found, documented, strict=True):
        if mine.columns != theirs.columns:
            differences.append(f"wanted the columns {', '.join(theirs.columns)}, found {', '.join(mine.columns)}")
            continue
        kinds = {_general(row, policy) for row in theirs.rows}
        per_worker = any("*" in row[0] for row in kinds)
        wanted = {
            tuple(cell.replace("*", w) for cell in row) for row in kinds for w in (workers if per_worker else ("",))
        }
        seen = {_ageless(row) for row in mine.rows}
        differences += [f"no row {' '.join(row)}" for row in sorted(wanted - seen)]
        differences += [f"a row {' '.join(row)}" for row in sorted(seen - wanted)]
    return differences


def _ageless(row: Sequence[str]) -> tuple[str, ...]:
    return tuple("AGE" if AGE.fullmatch(cell) else cell for cell in row)


def _general(row: Sequence[str], policy: str) -> tuple[str, ...]:
    """A documented row with ``*`` for the node in ``resource/node.policy``."""
    resource, _, name = row[0].partition("/")
    node = name.removesuffix(f".{policy}")
    return _ageless((f"{resource}/{f'*.{policy}' if node != name else name}", *row[1:]))
