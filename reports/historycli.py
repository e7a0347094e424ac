"""`virtlab history`: the last runs of the store, and how often each scenario passed in them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lab.core.told import told
from lab.evidence.flakes import Tries
from lab.evidence.reading import find, load
from reports import words
from reports.store import Entry, Store, default_url
from reports.terminal import clean

SIGNS = {"passed": "+", "failed": "x", "broken": "!", "inconclusive": "?", "skipped": "-", "not run": "."}


@told
def main(arguments: Sequence[str]) -> int:
    """0: shown; 2: wrong use; 10: the store does not answer."""
    given = _parser().parse_args(arguments)
    store = Store(given.store or default_url(given.out))
    try:
        for name in given.add:
            store.add(load(find(Path(name), given.out)))
        _show(store, given)
    finally:
        store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab history", description=__doc__)
    parser.add_argument("--store", default="", help="URL of the store ($VIRTLAB_STORE; default: history.db in --out)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of run folders (default: %(default)s)")
    parser.add_argument("--last", type=int, default=20, metavar="N", help="so many runs (default: %(default)s)")
    parser.add_argument("--target", default="", help="only of the target with this name")
    parser.add_argument("--add", action="append", default=[], metavar="RUN", help="first put this run into the store")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def _show(store: Store, given: argparse.Namespace) -> None:
    runs = store.runs(given.last, given.target)
    verdicts = store.verdicts([run.run_id for run in runs])
    if given.json:
        scenarios = [
            {"feature": f, "name": n, "verdicts": v, "flake_rate": round(Tries.of(v).flake_rate, 4)}
            for (f, n), v in verdicts.items()
        ]
        print(json.dumps({"runs": [asdict(run) for run in runs], "scenarios": scenarios}, indent=1, ensure_ascii=False))
        return
    if not runs:
        print(f"{store.name} has no run{f' of {given.target}' if given.target else ''}")
        return
    for line in [*_runs(runs), "", *_scenarios(verdicts)]:
        print(clean(line))


def _runs(runs: Sequence[Entry]) -> list[str]:
    rows = [("RUN", "STARTED", "TARGET", "VERDICT", "TOOK")]
    rows += [
        (r.run_id, words.moment(r.started), r.target, r.verdict + ("" if r.state == "finished" else f" ({r.state})"),
         words.duration(r.seconds))
        for r in runs
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _scenarios(verdicts: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """Oldest run at the left; what flakes or fails first."""
    rows = []
    for (feature, name), found in verdicts.items():
        tries = Tries.of(found)
        signs = "".join(SIGNS.get(v, "?") for v in found)
        share = tries.passed / tries.total if tries.total else 1.0
        rows.append((not tries.flaky, share, f"{signs}  {tries}", f"{feature}: {name}"))
    width = max((len(row[2]) for row in rows), default=0)
    return [f"{said:<{width}}  {name}" for _, _, said, name in sorted(rows)]
