"""Needs of a scenario against what a cluster has: met or not, and always why."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.errors import UsageError
from lab.target.capabilities import Capabilities, Feature, schedulable
from lab.target.inventory import load

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")
HAVE = Capabilities(
    TARGET,
    ("worker-1", "worker-2"),
    {"nmstate": Feature(False, "kubernetes-nmstate is not installed"), "ovn": Feature(True, "3 running pods")},
)


@pytest.mark.parametrize(
    ("need", "met", "part"),
    [
        ("workers>=2", True, "found 2"),
        ("workers >= 3", False, "needs workers >= 3 (schedulable workers), found 2: worker-1, worker-2"),
        ("workers==2", True, "found 2"),
        ("nmstate", False, "nmstate: kubernetes-nmstate is not installed"),
        ("ovn", True, "3 running pods"),
        ("outside:gateway-2024", True, "gateway-2024"),
        ("outside:tor", False, "needs outside tor"),
        ("vlan:7", False, "2024, 1993"),
        ("bond:bond2", True, "bond2"),
        ("disruptive", True, "allows"),
    ],
)
def test_a_need_is_answered_with_its_reason(need: str, met: bool, part: str) -> None:
    answer, reason = HAVE.meets(need)
    assert answer is met
    assert part in reason


def test_an_unknown_need_is_a_mistake_in_the_feature_and_no_skip() -> None:
    with pytest.raises(UsageError, match=r"(?s)'nmstat'.*nmstate"):
        HAVE.meets("nmstat")


def test_only_the_unmet_are_listed() -> None:
    assert HAVE.unmet(["workers>=2", "nmstate", "workers>=9"]) == [
        HAVE.meets("nmstate")[1],
        HAVE.meets("workers>=9")[1],
    ]


def test_a_node_is_schedulable_when_ready_uncordoned_and_untainted() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {}}
    assert schedulable(ready)
    assert not schedulable({**ready, "spec": {"unschedulable": True}})
    assert not schedulable({**ready, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
    assert schedulable({**ready, "spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}})
    assert not schedulable({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
