"""`virtlab case run|show DIR`: a customer's case as a feature, run on any target or only printed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.cases import folder
from lab.core.told import told
from lab.target.inventory import load

RUN = "other arguments go to `virtlab run`"


@told
def main(arguments: Sequence[str], run: Callable[[list[str]], int], root: Path, target: str) -> int:
    """*run* is `virtlab run`; the feature is made below *root*, the checkout. 2: a case that cannot be run."""
    parser = argparse.ArgumentParser(prog="virtlab case", description=__doc__, epilog=RUN)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, what in (("run", "run it, with the same reports as any run"), ("show", "print the feature it becomes")):
        below = verbs.add_parser(verb, help=what, description=what, epilog=RUN if verb == "run" else None)
        below.add_argument("folder", type=Path, metavar="DIR", help="case.yaml and the customer's manifests")
        below.add_argument("--target", default=target, help="target file (default: %(default)s)")
    given, rest = parser.parse_known_args(list(arguments))
    if rest and given.verb == "show":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    found = load(Path(given.target))
    if given.verb == "show":
        print(folder.text(given.folder, found), end="")
        return 0
    place = folder.write(given.folder, found, root / "out")
    print(f"the case as a feature: {os.path.relpath(place)}", file=sys.stderr)
    return run([f"--target={given.target}", *rest, str(place)])
