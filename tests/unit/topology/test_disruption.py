"""What QEMU counted is read while the launcher that a guest left is there: a series of moves outlives it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lab.access.errors import NotFound
from lab.kubevirt.jobinfo import JobInfo
from lab.kubevirt.migration import Migration
from lab.kubevirt.timeline import Timeline
from lab.topology import disruption
from lab.topology.scene import Scene

LOG = "Migration info for u1: TimeElapsed:3910ms DataProcessed:93MiB Iteration:3 PostcopyRequests:0\n"
GONE = NotFound("the log of demo/launcher-1 (compute)", '404 NotFound: pods "launcher-1" not found')


class Cluster:
    """Its only launcher, with what it logged."""

    def __init__(self, log: str) -> None:
        self.log, self.there = log, True

    def logs(self, pod: str, namespace: str, container: str, *, tail: int) -> str:
        if not self.there:
            raise GONE
        assert (pod, namespace, container) == ("launcher-1", "demo", "compute")
        return self.log


def scene_of(cluster: Cluster) -> Scene:
    state = {"sourcePod": "launcher-1", "migrationUid": "u1"}
    done = Migration("vm-a-x", "w1", "w2", 2.0, Timeline(()), state)
    guest = SimpleNamespace(namespace="demo")
    site = SimpleNamespace(client=cluster)
    return cast(Scene, SimpleNamespace(site=site, guest=lambda _name: guest, migrate=lambda _name: done))


def test_figures_outlive_the_launcher_that_the_guest_left() -> None:
    cluster = Cluster(LOG)
    scene = scene_of(cluster)
    done = disruption.move(scene, "vm-a")
    cluster.there = False
    assert disruption.job(scene, "vm-a", done) == JobInfo(3910, 93, 3, 0)


def test_a_move_whose_figures_nobody_wants_needs_none_and_one_that_is_judged_says_what_it_lacks() -> None:
    cluster = Cluster("")
    scene = scene_of(cluster)
    done = disruption.move(scene, "vm-a")
    cluster.there = False
    with pytest.raises(NotFound, match="launcher-1"):
        disruption.job(scene, "vm-a", done)
