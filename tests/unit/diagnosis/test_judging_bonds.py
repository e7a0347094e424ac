"""Bonds are judged by flows and counters: each check red by a fault of its own, and green without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.errors import Inconclusive, ProbeNotStarted, ProductFailure, WaitTimeout
from lab.diagnosis import bonds as judge
from lab.topology import bondpath
from tests.unit.diagnosis.bondworld import NICS, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(bondpath, "NOTICE_S", 0.3)
    monkeypatch.setattr(judge, "SPREAD_S", 0.3)
    return World(tmp_path)


def test_lacp_with_one_partner_over_both_nics_is_negotiated(world: World) -> None:
    judge.negotiated(world.path)


def test_a_nic_without_a_partner_is_not_negotiated_and_the_worker_is_named(world: World) -> None:
    world.nics["w2"]["enp6s0f1"].partner = ""
    with pytest.raises(WaitTimeout, match=r"last seen: enp6s0f1 on w2 without use \("):
        judge.negotiated(world.path)


def test_two_partners_are_a_cabling_fault(world: World) -> None:
    world.nics["w1"]["enp6s0f1"].partner = "02:00:00:00:00:01"
    with pytest.raises(
        ProductFailure, match=r"found: bond1 on w1: LACP agreed over enp6s0f0 with ae:.*, enp6s0f1 with 02:"
    ):
        judge.negotiated(world.path)


def test_a_bond_without_lacp_has_not_negotiated(world: World) -> None:
    world.lacp = False
    with pytest.raises(ProductFailure, match="bond1 on w1: it does not speak LACP; bond1 on w2: it does not"):
        judge.negotiated(world.path)


def test_flows_over_both_nics_are_spread(world: World) -> None:
    judge.spread(world.path)
    assert world.exchanges == 4


def test_a_nic_that_carries_nothing_is_named_with_the_counts_after_several_tries(world: World) -> None:
    world.carries["w2"] = ["enp6s0f1"]
    with pytest.raises(ProductFailure) as raised:
        judge.spread(world.path)
    assert "enp6s0f0 on w2 carried 0%" in raised.value.found
    assert "w2: enp6s0f0 0 in, 0 out, enp6s0f1 200 in, 200 out" in raised.value.found
    assert world.exchanges > 4


def test_a_lost_flow_is_a_failure_that_names_the_pair(world: World) -> None:
    world.lossy.add("w2")
    with pytest.raises(ProductFailure) as raised:
        judge.spread(world.path)
    assert raised.value.wanted == "every flow from w2 to w1 over bond1 on VLAN 2024 to arrive whole"
    assert "15 of 16 brought 32768 bytes, 1 brought less (0 bytes)" in raised.value.found


def test_flows_over_the_nic_that_is_left(world: World) -> None:
    world.path.lost = {"w1": (0,), "w2": (1,)}
    for worker, nic in (("w1", 0), ("w2", 1)):
        world.nics[worker][NICS[nic]].link = False
        world.carries[worker] = [NICS[1 - nic]]
    judge.alone(world.path)


def test_a_bond_that_keeps_a_lost_nic_is_waited_for_and_named(world: World) -> None:
    world.path.lost = {"w1": (0,)}
    with pytest.raises(WaitTimeout, match="wanted: enp6s0f1 working on w1; enp6s0f0, enp6s0f1 working on w2") as kept:
        judge.alone(world.path)
    assert kept.value.last == "enp6s0f0 on w1 in use"


def test_an_active_backup_that_uses_two_nics_is_a_failure(world: World) -> None:
    world.carries["w2"] = ["enp6s0f0"]
    with pytest.raises(ProductFailure, match="w1 used enp6s0f0, enp6s0f1"):
        judge.alone(world.path)
    world.carries["w1"] = ["enp6s0f1"]
    judge.alone(world.path)


def test_traffic_over_a_nic_that_was_lost_is_a_failure(world: World) -> None:
    world.path.lost = {"w1": (0,), "w2": (0,)}
    for worker in ("w1", "w2"):
        world.nics[worker]["enp6s0f0"].link = False
    world.carries = {"w1": ["enp6s0f0"], "w2": ["enp6s0f1"]}
    with pytest.raises(ProductFailure, match="w1 used enp6s0f0"):
        judge.alone(world.path)


def test_a_worker_that_is_cut_off_must_be_silent_and_its_bond_named(world: World) -> None:
    world.path.lost = {"w1": (0, 1)}
    for nic in world.nics["w1"].values():
        nic.link = False
    with pytest.raises(ProductFailure, match="no answer on VLAN 2024 for w1, whose bond1 has no link"):
        judge.unanswered(world.path, "w1")
    world.silent.add("w1")
    # No resident's attachment is known here, so that no cause can be named: that is a failure too.
    with pytest.raises(ProductFailure, match="the finding to name bond1 on w1"):
        judge.unanswered(world.path, "w1")
    judge.answered(world.path, "w2")


def test_a_worker_without_an_answer_is_named(world: World) -> None:
    world.silent.add("w2")
    with pytest.raises(ProductFailure, match=r"the resident pod on w2 to reach gateway 192\.168\.24\.1 on VLAN 2024"):
        judge.answered(world.path, "w1", "w2")


def test_pings_that_never_ran_prove_no_calm(world: World) -> None:
    with pytest.raises(Inconclusive, match="wanted: pings that went on"):
        judge.calm(world.path, 1000, "a failover")


def test_a_worker_that_is_silent_from_the_start_is_the_products_fault(world: World) -> None:
    world.silent.add("w2")
    with pytest.raises(ProductFailure, match="the resident pod on w2 to reach gateway"):
        judge.keep_pinging(world.path)


def test_pings_that_cannot_start_though_all_answer_are_not(world: World) -> None:
    with pytest.raises(ProbeNotStarted):
        judge.keep_pinging(world.path)
    assert world.path.stop_pings() == []
