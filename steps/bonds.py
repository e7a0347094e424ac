"""Sentences on bonds: what carries their traffic, what is broken of them, and what then passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from pytest_bdd import given, then, when

from lab.core.errors import LabError
from lab.diagnosis import bonds as judge
from lab.topology.bondpath import BOTH, BondPath, WorkersBond
from lab.topology.scene import Scene
from steps.types import sentence

LACP_FAST_MS = 3000
"""IEEE 802.1AX: a partner is given up when three LACPDUs of the fast rate, one a second, are missing."""
CUT, SUSPENDED = "member-down", "lacp-off"
Paths = dict[str, BondPath]


@pytest.fixture
def paths(scene: Scene) -> Iterator[Paths]:
    """The bonds of the scenario that carry traffic, by name; no ping outlives it."""
    made: Paths = {}
    yield made
    for path in made.values():
        with suppress(LabError):
            path.stop_pings()


@given(sentence("the policy {name} is applied with fast LACP"))
def policy_with_fast_lacp(scene: Scene, name: str) -> None:
    """The documented policy and `lacp_rate: fast`."""
    scene.policy(f"{name}-fast")


@given(sentence("VLAN {vlan:VLAN} is carried over {bond:NET} on every worker"))
def carried(scene: Scene, paths: Paths, vlan: int, bond: str) -> None:
    """A bridge of its own with that bond as its uplink, and residents over it; waits until both NICs can carry."""
    scene.policy(f"vlan-{vlan}-over-{bond}")
    paths[bond] = BondPath(scene.site, bond, scene.site.target.vlan(vlan), scene.faults)
    paths[bond].wait_working()


@given(sentence("pings go on over {bond:NET} from every worker to the gateway"))
def pings_go_on(paths: Paths, bond: str) -> None:
    """From every resident; judged at the scenario's end."""
    judge.keep_pinging(paths[bond])


@when(sentence("the {number:NTH} NIC of {bond:NET} loses its link on every worker"))
def link_lost(scene: Scene, paths: Paths, number: int, bond: str) -> None:
    """The cable is cut: the node sees it at once."""
    paths[bond].lose(CUT, dict.fromkeys(scene.site.workers, (number,)))


@when(sentence("the switch suspends the {number:NTH} NIC of {bond:NET} on every worker"))
def suspended(scene: Scene, paths: Paths, number: int, bond: str) -> None:
    """The link stays up and carries nothing, LACPDUs neither."""
    paths[bond].lose(SUSPENDED, dict.fromkeys(scene.site.workers, (number,)))


@when(sentence("both NICs of {bond:NET} lose their link on one worker"))
def both_lost(scene: Scene, paths: Paths, bond: str) -> None:
    """On the first worker."""
    paths[bond].lose(CUT, {scene.site.workers[0]: BOTH})


@when(sentence("all NICs of {bond:NET} are back"))
def all_back(paths: Paths, bond: str) -> None:
    """The faults of the scenario are healed, and the bond takes the NICs again."""
    paths[bond].heal()


@then(sentence("{bond:NET} is reported in mode {mode} over its two NICs on every worker"))
def is_reported(scene: Scene, bond: str, mode: str) -> None:
    """By NodeNetworkState."""
    judge.reported(WorkersBond(scene.site, bond), mode)


@then(sentence("{bond:NET} has negotiated LACP with one switch over both NICs on every worker"))
def has_negotiated(scene: Scene, bond: str) -> None:
    """By what the node itself says of the bond."""
    judge.negotiated(WorkersBond(scene.site, bond))


@then(sentence("flows between the workers pass over both NICs of {bond:NET}"))
def flows_over_both(paths: Paths, bond: str) -> None:
    """Every flow arrives whole, and each NIC carried a part of their packets."""
    judge.spread(paths[bond])


@then(sentence("flows between the workers pass over one NIC of {bond:NET} alone"))
@then(sentence("flows between the workers pass over the NIC of {bond:NET} that is left"))
def flows_over_one(paths: Paths, bond: str) -> None:
    """Every flow arrives whole, and a lost or spare NIC carried none of their packets."""
    judge.alone(paths[bond])


@then(sentence("no ping over {bond:NET} was silent for longer than a failover may take"))
def calm(scene: Scene, paths: Paths, bond: str) -> None:
    """All through the scenario."""
    judge.calm(paths[bond], scene.site.target.thresholds.failover_gap_ms, "a failover")


@then(sentence("no ping over {bond:NET} was silent for longer than LACP's fast timeout and a failover"))
def calm_with_lacp(scene: Scene, paths: Paths, bond: str) -> None:
    """All through the scenario."""
    limit = LACP_FAST_MS + scene.site.target.thresholds.failover_gap_ms
    judge.calm(paths[bond], limit, "LACP's fast timeout and a failover")


@then(sentence("that worker gets no answer over {bond:NET}, and the finding names both"))
def that_worker_is_cut_off(scene: Scene, paths: Paths, bond: str) -> None:
    """The very check that the other workers pass."""
    judge.unanswered(paths[bond], scene.site.workers[0])


@then(sentence("the other workers get answers over {bond:NET}"))
def others_are_not(scene: Scene, paths: Paths, bond: str) -> None:
    """From the gateway."""
    judge.answered(paths[bond], *scene.site.workers[1:])
