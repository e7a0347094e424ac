"""`virtlab evidence`: what a run would take of a cluster at a failure, taken by hand. It changes nothing there."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from lab.access.kinds import NAMESPACE, NODE
from lab.core.names import selector
from lab.core.told import told
from lab.evidence.collect import Sources, collect
from lab.evidence.tasks import BUDGET_S
from lab.target.connect import connect
from lab.target.inventory import load
from lab.target.platform import settled

DEFAULT = "targets/embedded.yaml"


@told
def main(arguments: Sequence[str]) -> int:
    """0: taken (what could not be is listed), 2: wrong use, 10: the cluster does not answer."""
    given = _parser().parse_args(arguments)
    folder = given.folder or Path("out") / time.strftime("evidence-%Y%m%d-%H%M%S", time.gmtime())
    files, missing = collect(_sources(given), folder, given.budget)
    print(f"{len(files)} files in {folder}")
    for line in missing:
        print(f"could not be taken: {line}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab evidence", description=__doc__)
    parser.add_argument("--target", default=os.environ.get("VIRTLAB_TARGET", DEFAULT), help="target file")
    parser.add_argument("--folder", type=Path, help="where to put it (default: out/evidence-TIME)")
    parser.add_argument("--namespace", action="append", default=[], help="besides those of virtlab's runs")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, metavar="SECONDS", help="end by then (default: %(default)g)"
    )
    return parser


def _sources(given: argparse.Namespace) -> Sources:
    """Of all workers, and of every namespace that a run left or the person names."""
    target = load(Path(given.target))
    client = connect(target)
    target = settled(client, target)
    nodes = [str(n["metadata"]["name"]) for n in client.list(NODE, labels=target.node_selector)]
    spaces = [str(n["metadata"]["name"]) for n in client.list(NAMESPACE, labels=selector())]
    secrets = [image.password for image in target.images.values()]
    return Sources(client, target, nodes, [*spaces, *given.namespace], secrets=secrets)
