"""`virtlab doctor --target FILE`: is this cluster fit for a run? Nothing is changed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lab.core.told import told
from lab.survey.findings import code, document, lines
from lab.survey.preflight import of_cluster
from lab.target.inventory import load


@told
def main(arguments: Sequence[str]) -> int:
    """0: fit, as far as can be known; 1: something is not as it must be; 2: wrong use; 10: no answer."""
    parser = argparse.ArgumentParser(prog="virtlab doctor", description=__doc__)
    parser.add_argument("--target", required=True, type=Path, metavar="FILE", help="target file")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    findings = of_cluster(load(given.target))
    if given.json:
        print(json.dumps({"target": str(given.target), "findings": document(findings)}, indent=1))
    else:
        print("\n".join(lines(findings)))
    return code(findings)
