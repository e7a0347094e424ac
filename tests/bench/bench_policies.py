"""What a node policy costs beside the nodes' own work: `make bench`, on a machine that does nothing else."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.access.client import Client
from lab.core.deadline import Deadline
from lab.nmstate import policy
from lab.topology.manifests import Manifests
from tests.bench.figures import report, spread
from tests.conftest import ROOT, RunningLab

pytestmark = pytest.mark.lab
LIMIT_S, TIMES = 1.5, 5
AT_WORK = re.compile(r"^(\S+ \S+) I \S+: (applying: |\S+ on \S+: \d+ changes)")


def works(logs: Path, since: datetime) -> Iterator[tuple[float, float]]:
    """(begin, end) of each node's own work after *since*, in seconds of the wall clock: acting and reading back."""
    for log in logs.glob("worker-*.log"):
        began = None
        for line in log.read_text(errors="replace").splitlines():
            if not (found := AT_WORK.match(line)):
                continue
            at = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone()
            if at < since:
                continue
            if found[2].startswith("applying"):
                began = at.timestamp()
            elif began is not None:
                yield began, at.timestamp()
                began = None


def together(spans: Iterator[tuple[float, float]]) -> float:
    """Seconds in which at least one node was at work."""
    total, last = 0.0, 0.0
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, last))
        last = max(last, end)
    return total


def test_a_policy_over_three_workers(lab: RunningLab) -> None:
    client = Client.connect(Path(lab.virtlab("kubeconfig").stdout.split()[-1]))
    name = lab.env["VIRTLAB_NAME"]
    logs = Path(lab.env["XDG_STATE_HOME"]) / "virtlab/labs" / name / "logs"
    manifest = Manifests(ROOT / "features/localnet/manifests")["nncp-ovs-br1-vlan-trunk"]
    beside = []
    for _ in range(TIMES):
        since, began = datetime.now(UTC), time.monotonic()
        policy.apply(client, manifest, deadline=Deadline.after(120))
        wall = time.monotonic() - began
        beside.append(wall - together(works(logs, since)))
        policy.take_back(client, manifest, deadline=Deadline.after(120))
    how = f"wall from apply to all enactments Available, less the time in which a node was at work, {spread(beside)}"
    report("a policy over 3 workers, beside own work", statistics.median(beside), LIMIT_S, "s", how)
