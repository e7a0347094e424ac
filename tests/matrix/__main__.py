"""`python -m tests.matrix [--sample] [-k WORD]`: run the matrix on one lab, print what came of it, write the table.

Results go to out/matrix/results.json; with --write also to docs/faults.md. The exit status is 1 when a cell is not as
the data says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.evidence.reading import find, load
from tests.matrix import cells, table

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out" / "matrix"
VIRTLAB = (sys.executable, "-m", "lab.cli")
CELL_S = 240


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--sample", action="store_true", help="the cells of the sample alone")
    parser.add_argument("-k", default="", metavar="WORD", help="cells whose fault, or scenario, has this word")
    parser.add_argument(
        "--read", nargs="+", type=Path, default=[], metavar="RUN", help="judge the records of runs already made instead"
    )
    parser.add_argument(
        "--onto", type=Path, metavar="PAGE", help="cells that ran in none of them are as they stand on this page"
    )
    parser.add_argument("--write", action="store_true", help="write docs/faults.md from what came of it")
    parser.add_argument(
        "--note", default="", metavar="TEXT", help="what else is to be known of these runs, for that file"
    )
    options = parser.parse_args(argv)
    groups = cells.sample(cells.load()) if options.sample else cells.load()
    groups = [replace(g, cells=tuple(c for c in g.cells if options.k in f"{g.scenario}: {c.fault}")) for g in groups]
    began = time.monotonic()
    groups = [group for group in groups if group.cells]
    found = read(groups, options.read) if options.read else run(groups)
    seconds = time.monotonic() - began
    if options.onto:
        found = table.onto(options.onto.read_text(), groups, found)
    OUT.mkdir(parents=True, exist_ok=True)
    results = {"seconds": round(seconds), "cells": [outcome.plain() for outcome in found]}
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    print("\n".join(table.lines(found, seconds)))
    if options.write:
        page = table.page(found, catalogue(), cells.unnoticed(), options.note, cells.unproven())
        (ROOT / "docs" / "faults.md").write_text(page)
    return 0 if all(outcome.expected and not outcome.lacking for outcome in found) else 1


def read(groups: Sequence[cells.Group], folders: Sequence[Path]) -> list[cells.Outcome]:
    """What records of runs say to the cells; of a cell that ran in several the last counts."""
    records = [load(find(folder)) for folder in folders]
    return [outcome for group in groups for outcome in cells.outcomes(group, records)]


def run(groups: Sequence[cells.Group]) -> list[cells.Outcome]:
    """Every group on one lab that is up for that long."""
    env = {**os.environ, "VIRTLAB_NAME": os.environ.get("VIRTLAB_NAME", "matrix")}
    subprocess.run([*VIRTLAB, "up", "--nmstate", "0.83"], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    try:
        return [outcome for group in groups for outcome in run_group(group, env)]
    finally:
        subprocess.run([*VIRTLAB, "down"], cwd=ROOT, env=env, check=False, stdout=subprocess.DEVNULL)


def run_group(group: cells.Group, env: dict[str, str]) -> list[cells.Outcome]:
    """One run of the harness, as a person would start it."""
    faults = [word for cell in group.cells for word in ("--each-fault", cell.fault)]
    out = OUT / "runs"
    out.mkdir(parents=True, exist_ok=True)
    argv = [*VIRTLAB, "run", "--target", "targets/embedded.yaml", "--out", str(out), group.feature, "-k", group.choose]
    # Evidence is for people who look at one failure.
    argv += ["--evidence-budget", "0"]
    before = set(out.iterdir())
    try:
        subprocess.run([*argv, *faults], cwd=ROOT, env=env, check=False, timeout=CELL_S * (len(group.cells) + 1))
    except subprocess.TimeoutExpired:
        print(f"the run of {group.scenario} did not end", file=sys.stderr)
    made = [folder for folder in out.iterdir() if folder not in before and (folder / "run.json").exists()]
    return cells.outcomes(group, [load(folder / "run.json") for folder in made])


def catalogue() -> str:
    """The lab's own list of its faults."""
    said = subprocess.run([*VIRTLAB, "fault", "list"], cwd=ROOT, check=True, capture_output=True, text=True)
    return said.stdout


if __name__ == "__main__":
    sys.exit(main())
