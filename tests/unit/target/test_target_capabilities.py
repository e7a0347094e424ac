"""Needs of a scenario against what a cluster has: met or not, and always why."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.errors import UsageError
from lab.target.capabilities import Capabilities, Feature, schedulable
from lab.target.inventory import LabCommands, load

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")
HAVE = Capabilities(
    TARGET,
    ("worker-1", "worker-2"),
    {
        "nmstate": Feature(False, "kubernetes-nmstate is not installed"),
        "ovn": Feature(True, "3 running pods"),
        "drain": Feature(True, "mine.yaml says allow-drain: true"),
    },
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
        ("drain", True, "mine.yaml says allow-drain: true"),
        ("outside:vlan-2024", True, "vlan-2024"),
        ("outside:vlan-7", False, "needs outside vlan-7"),
    ],
)
def test_a_need_is_answered_with_its_reason(need: str, met: bool, part: str) -> None:
    answer, reason = HAVE.meets(need)
    assert answer is met
    assert part in reason


def test_an_unknown_need_is_a_mistake_in_the_feature_and_no_skip() -> None:
    with pytest.raises(UsageError, match=r"(?s)'nmstat'.*nmstate"):
        HAVE.meets("nmstat")


def test_a_network_that_gives_addresses_itself_has_none_for_scenarios_that_choose_theirs() -> None:
    leased = replace(TARGET.vlan(2024), pool=("", ""), dhcp=True)
    have = replace(HAVE, target=replace(TARGET, vlans={2024: leased}))
    met, reason = have.meets("vlan:2024")
    assert not met
    assert "names no pool there" in reason
    with pytest.raises(UsageError, match="a pool of addresses of VLAN 2024"):
        leased.address(0)


def test_the_table_and_the_two_lines_say_what_is_there_and_why_not() -> None:
    rows = {name: (have, why) for name, have, why in HAVE.rows()}
    assert rows["workers"] == ("2", "worker-1, worker-2")
    assert rows["nmstate"] == ("no", "kubernetes-nmstate is not installed")
    assert rows["VLANs"] == ("2", "2024, 1993")
    assert rows["bonds"][1].startswith("bond1 (enp6s0f0, enp6s0f1), bond2")
    assert HAVE.brief() == ["2 workers; drain, ovn", "not there: nmstate (kubernetes-nmstate is not installed)"]


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


def with_command(*argv: str) -> Capabilities:
    target = replace(TARGET, lab=LabCommands(needs={"networkmanager": argv}))
    return Capabilities(target, (), {"networkmanager": Feature(True, "not asked")})


def test_a_need_with_a_command_is_met_when_it_succeeds_and_it_runs_once(tmp_path: Path) -> None:
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    have = with_command(sys.executable, "-c", count)
    assert not (tmp_path / "runs").exists()
    assert have.meets("networkmanager")[0]
    assert have.unmet(["networkmanager"]) == []
    assert (tmp_path / "runs").read_text() == "x"


def test_a_command_that_fails_is_told_with_its_last_line() -> None:
    have = with_command(sys.executable, "-c", "print('no mirror'); raise SystemExit(10)")
    met, reason = have.meets("networkmanager")
    assert not met
    assert reason.startswith("networkmanager: `")
    assert reason.endswith("ended with 10: no mirror")


def test_a_command_that_is_not_there_is_told() -> None:
    met, reason = with_command("/no/such/program").meets("networkmanager")
    assert not met
    assert "wanted the program '/no/such/program'" in reason
