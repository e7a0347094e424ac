"""`virtlab capabilities`: what scenarios may need, whether this cluster has it, and why not."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from lab.core.told import told
from lab.target.capabilities import detect
from lab.target.connect import connect
from lab.target.inventory import load

HEAD = ("NEED", "HERE", "WHAT, OR WHY NOT")


@told
def main(arguments: Sequence[str]) -> int:
    """0: asked; 2: wrong use; 10: the cluster does not answer."""
    parser = argparse.ArgumentParser(prog="virtlab capabilities", description=__doc__)
    default = os.environ.get("VIRTLAB_TARGET", "targets/embedded.yaml")
    parser.add_argument("--target", default=default, type=Path, metavar="FILE", help="target file")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    target = load(given.target)
    found = detect(connect(target), target)
    rows = found.rows()
    if given.json:
        listed = [{"need": name, "here": here, "why": why} for name, here, why in rows]
        print(json.dumps({"target": str(given.target), "facts": found.facts, "capabilities": listed}, indent=1))
        return 0
    table = [HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(2)]
    for row in table:
        print(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")
    return 0
