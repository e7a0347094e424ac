"""A series of migrations in a row, to and fro over the workers, seen from the gateway: how long traffic stood still.

VIRTLAB_MOVES says how many (100). Only idle processors give figures that mean something: the load is printed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.core.deadline import Deadline
from lab.guest.outside import OutsideShell
from lab.probes.continuous import ContinuousPing
from lab.probes.series import percentile
from lab.probes.toolbox import look
from lab.topology.scene import Scene
from tests.bench.figures import report
from tests.conftest import RunningLab
from tests.opened import traffic_scene

pytestmark = pytest.mark.lab
MOVES = int(os.environ.get("VIRTLAB_MOVES", "100"))
MOST_LIMIT_MS, WORST_LIMIT_MS, STEP_MS = 300.0, 500.0, 50


@pytest.fixture(scope="module")
def scene(lab: RunningLab) -> Iterator[Scene]:
    with traffic_scene(lab, "moves") as scene:
        yield scene


def test_a_series_of_migrations(scene: Scene) -> None:
    guest, workers = scene.guest("vm-a"), scene.site.workers
    gateway = OutsideShell(scene.site.target.outside_host("gateway-2024"))
    tools = look(gateway, deadline=Deadline.after(30))
    gaps = []
    for number in range(MOVES):
        following = workers[(workers.index(guest.node) + 1) % len(workers)]
        ping = ContinuousPing(gateway, guest.address, tools, place="gateway-2024", name="vm-a")
        ping.start(Deadline.after(60))
        moved = scene.migrate("vm-a", following)
        ping.stop(Deadline.after(60))
        seen = ping.read(())
        gaps.append(seen.longest_gap_ms)
        where = moved.timeline.during(seen.gaps[0].at, seen.gaps[0].until) if seen.gaps else "nowhere"
        print(f"{number + 1:3d} {moved.source} -> {moved.target} {moved.seconds:4.1f} s: {gaps[-1]:4.0f} ms, "
              f"{seen.lost:2d} lost, {where} [load {os.getloadavg()[0]:.1f}]", flush=True)  # fmt: skip
    for bin_, count in sorted(Counter(int(gap // STEP_MS) * STEP_MS for gap in gaps).items()):
        print(f"{bin_:4d}-{bin_ + STEP_MS - 1} ms  {'#' * count} {count}")
    how = f"of {MOVES} migrations, longest gap of a 10 ms ping from the gateway"
    report("migration's gap, median", percentile(gaps, 50), MOST_LIMIT_MS, "ms", how)
    report("migration's gap, 99 of 100", percentile(gaps, 99), MOST_LIMIT_MS, "ms", how)
    report("migration's gap, worst", max(gaps), WORST_LIMIT_MS, "ms", how)
