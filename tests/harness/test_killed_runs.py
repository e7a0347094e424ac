"""After a `kill -9` at any point `virtlab clean` makes the cluster what it was: a few points; the series is a bench."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests import killing
from tests.conftest import RunningLab, lab_up

pytestmark = pytest.mark.lab
CHOOSE = random.Random(2024)
APPLIED = "patch nodenetworkconfigurationpolicies"
POINTS = [
    (("features/linux_bridge", "-k", "goes_under"), CHOOSE.randrange(1, 4)),
    (("features/linux_bridge", "-k", "goes_under"), CHOOSE.randrange(4, 20)),
    (("features/bonding", "-k", "LACP_is_negotiated"), CHOOSE.randrange(1, 20)),
]
"""What is run, and after how many requests it is killed once it has applied its policy: before that nothing is left."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """One that takes the documented policies as they are."""
    with lab_up(tmp_path_factory.mktemp("lab"), "--nmstate", "0.83") as made:
        yield made


@pytest.fixture(scope="module")
def cluster(lab: RunningLab) -> killing.Cluster:
    return killing.Cluster(lab)


@pytest.fixture(scope="module")
def before(cluster: killing.Cluster) -> killing.State:
    return cluster.state()


def test_the_comparison_sees_what_is_left(lab: RunningLab, cluster: killing.Cluster, before: killing.State) -> None:
    assert not cluster.unread()
    assert any(key.startswith("switches of worker-1") and "br-int" in text for key, text in before.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(killing, "SETTLED_S", 0.0)
        made = lab.virtlab("node", "exec", "worker-2", "--", "ovs-vsctl", "add-br", "left-over")
        assert made.returncode == 0, made.stderr
        found = cluster.differences(before)
    assert [line for line in found if line.startswith("changed: switches of worker-2") and "left-over" in line], found
    assert [line for line in found if line.startswith("changed: network of worker-2")], found
    lab.virtlab("node", "exec", "worker-2", "--", "ovs-vsctl", "del-br", "left-over")
    assert cluster.differences(before) == []


@pytest.mark.parametrize(("words", "after"), POINTS)
def test_a_run_that_was_killed(
    lab: RunningLab, cluster: killing.Cluster, before: killing.State, words: tuple[str, ...], after: int
) -> None:
    assert killing.run_and_kill(lab, words, after, lab.folder / "killed", APPLIED), f"it ended before request {after}"
    assert lab.virtlab("clean", *killing.TARGET, "--list").stdout != "nothing was left\n"
    done = lab.virtlab("clean", *killing.TARGET, "--all", timeout=400)
    assert done.returncode == 0, done.stderr
    assert cluster.differences(before) == []
