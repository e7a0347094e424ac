"""Which worker of `make test` gets which test file: those with a lab few at a time, the others beside them.

A test on a lab mostly waits, the others mostly compute: one beside the other fills the cores. It is asked only where
pytest has workers (`-n`), and must not change what a test does.
"""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[1]
QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Where a container's share of the cores is told, in microseconds of each so many; cgroup v2, then v1."""


def workers(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """One for each core that we may use, from one to eight."""
    cores = float(len(os.sched_getaffinity(0)))
    for names in QUOTAS:
        found = [cgroups / name for name in names]
        if all(file.is_file() for file in found):
            quota, period = " ".join(file.read_text() for file in found).split()
            cores = min(cores, int(quota) / int(period)) if quota not in ("max", "-1") else cores
    return max(1, min(8, math.floor(cores)))


@functools.cache
def has_lab(file: str) -> bool:
    """Whether a file has a test on a lab of its own; the process that hands out knows names, not marks."""
    return "mark.lab" in (ROOT / file).read_text(encoding="utf-8")


class Handout(LoadFileScheduling):
    """Whole files, so that what a module shares is made once; half of the workers, no more, have a lab at a time.

    When the others are used up all workers take those with a lab.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        # As collected: the longest, in tests/harness, are not the ones with the most tests.
        config.option.loadscopereorder = False
        self.labs = max(1, self.numnodes // 2)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """The base class gives a worker the first file that is left: put first what is due."""
        labs = sum(self._in_lab(other) for other in self.nodes if other is not node)
        due = next((file for file in self.workqueue if has_lab(file) == (labs < self.labs)), None)
        if due:
            self.workqueue.move_to_end(due, last=False)
        super()._assign_work_unit(node)

    def _in_lab(self, node: WorkerController) -> bool:
        return any(has_lab(file) and not all(done.values()) for file, done in self.assigned_work[node].items())
