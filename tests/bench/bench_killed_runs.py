"""Thirty kills at random points of all kinds of scenarios: after each the cluster must be what it was (`make bench`).

VIRTLAB_SEED chooses other points; each is printed with what was removed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests import killing
from tests.conftest import RunningLab, lab_up

pytestmark = pytest.mark.lab
SEED, TIMES = int(os.environ.get("VIRTLAB_SEED", "1")), int(os.environ.get("VIRTLAB_TIMES", "30"))
RUNS = (
    (("features/linux_bridge",), 180),
    (("features/bonding", "-k", "LACP_is_negotiated or survives_the_loss"), 220),
    (("features/localnet", "-k", "reaches_the_gateway"), 170),
    (("features/localnet", "-k", "applied_without_its_bond"), 130),
    (("features/localnet_coe",), 130),
    (("features/cnv_bridge", "-k", "a_vlan_in or finds_no_worker"), 150),
    (("features/migration_traffic", "-k", "cancelled"), 170),
    (("features/nmcli",), 140),
    (("features/pod_network",), 200),
)
"""Features, and about how many requests each makes."""


def points() -> list[tuple[tuple[str, ...], int]]:
    choose = random.Random(SEED)
    return [(words, choose.randrange(20, most)) for words, most in (choose.choice(RUNS) for _ in range(TIMES))]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """One that takes the documented policies as they are."""
    with lab_up(tmp_path_factory.mktemp("lab"), "--nmstate", "0.83") as made:
        yield made


def test_thirty_kills(lab: RunningLab) -> None:
    cluster = killing.Cluster(lab)
    before, bad, killed = cluster.state(), [], 0
    assert not cluster.unread()
    for number, (words, after) in enumerate(points(), 1):
        began = time.monotonic()
        was_killed = killing.run_and_kill(lab, words, after, lab.folder / "killed")
        killed += was_killed
        middle = time.monotonic()
        done = lab.virtlab("clean", *killing.TARGET, "--all", timeout=900)
        cleaned = time.monotonic()
        left = cluster.differences(before) if done.returncode == 0 else [done.stderr.strip()]
        how = f"killed after {after} requests" if was_killed else "ended before"
        print(
            f"{number:2} {' '.join(words)}: {how} ({middle - began:.0f} s), clean {cleaned - middle:.1f} s: "
            f"{', '.join(done.stdout.split(chr(10)))} -> {'as before' if not left else '; '.join(left)}",
            flush=True,
        )
        if left:
            bad.append((words, after, left))
            before = cluster.state()
    print(f"{killed} of {TIMES} runs were killed, {len(bad)} clusters were not as before")
    assert bad == []
    assert killed > TIMES * 0.7
