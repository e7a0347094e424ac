"""An error of a scenario, told again by what the cluster says of its workers and VMs meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.access.errors import NotFound
from lab.access.kinds import NODE, Kind
from lab.core.deadline import Deadline
from lab.core.errors import (
    AccessDenied,
    ApiDown,
    EnvironmentBroken,
    GuestEnded,
    GuestUnreachable,
    Inconclusive,
    ProductFailure,
    WaitHopeless,
)
from lab.core.result import CommandResult
from lab.diagnosis.expect import all_lived_on
from lab.run import Lab
from lab.target.inventory import load
from lab.target.segments import Segment
from lab.topology.scene import GuestVm, Scene
from steps.running import SCENE, Run

ROOT = Path(__file__).parents[3]
VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), "", 2024)
CUT = ApiDown("an answer of the API server (the console of VirtualMachineInstance demo/vm-a)", "Connection timed out")


class Cluster:
    """Three workers, of which some are not Ready, and one VMI; or nobody who answers."""

    server = "https://lab"

    def __init__(self, *unready: str, uid: str = "one", down: bool = False) -> None:
        self.unready, self.uid, self.down = unready, uid, down

    def list(self, kind: Kind, **_: object) -> list[dict[str, Any]]:
        assert kind == NODE
        if self.down:
            raise ApiDown("an answer of the API server", "refused")
        return [
            {
                "metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": "False" if name in self.unready else "True"}]},
            }
            for name in ("w1", "w2", "w3")
        ]

    def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any]:
        if not self.uid:
            raise NotFound("the VMI", self.server, status=404)
        return {"metadata": {"name": name, "namespace": namespace, "uid": self.uid}, "status": {"phase": "Running"}}


class Nodes:
    """Workers of which w1 drops what is sent to high ports, and answers no ping that can be read."""

    def run(self, node: str, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        rules = "table inet fw {\n chain in {\n  tcp dport 32768-60999 drop\n }\n}\n" if node == "w1" else ""
        return CommandResult(tuple(argv), node, 0, rules, "", 0.1)


def explained(cluster: Cluster, error: BaseException) -> BaseException:
    lab = Lab(load(ROOT / "targets" / "embedded.yaml"), "r1", Path("out/r1"))
    lab.client = cast(Any, cluster)
    lab.capabilities = cast(Any, SimpleNamespace(workers=("w1", "w2", "w3")))
    guest = GuestVm("vm-a", "demo", VLAN, "02:00:00:20:24:10", ("192.168.24.20",), ["w2"], uid="one")
    scene = SimpleNamespace(guests={"vm-a": guest}, site=SimpleNamespace(client=cluster, reader=Nodes()))
    return lab.explained(error, cast(Scene, scene))


def test_a_stream_that_ended_with_its_worker_is_told_by_the_worker() -> None:
    told = explained(Cluster("w2"), CUT)
    assert type(told) is EnvironmentBroken
    assert told.found.startswith("w2 is not Ready since unknown: without a word. Then: wanted an answer of the API")


def test_a_stream_that_ended_though_the_api_answers_names_guest_and_worker() -> None:
    told = explained(Cluster(), CUT)
    assert isinstance(told, GuestUnreachable)
    assert told.found == (
        "VM vm-a on w2 does not answer through the API server, which itself does; Connection timed out"
    )
    assert told.advice == "is w2 reached by the control plane?"


@pytest.mark.parametrize("error", [CUT, AccessDenied("a list"), ProductFailure("an answer"), KeyError("oops")])
def test_where_nobody_answers_an_error_stays_as_it_is(error: Exception) -> None:
    assert explained(Cluster(down=True), error) is error


def test_another_error_of_a_cluster_that_is_well_stays_as_it_is() -> None:
    elsewhere = ApiDown("an answer of the API server (list Pod)", "refused")
    assert explained(Cluster(), elsewhere) is elsewhere
    failure = ProductFailure("an answer", "none")
    assert explained(Cluster(), failure) is failure


def test_a_migration_that_could_not_connect_is_told_with_the_place_where_that_ends() -> None:
    reason = "unable to connect to server at '192.168.52.11:45915': Connection timed out (from w2 to w1)"
    failed = WaitHopeless(
        "VirtualMachineInstanceMigration demo/vm-a-x7k2p", "it over", reason=reason, last="", elapsed=3
    )
    told = explained(Cluster(), failed)
    assert told is failed
    assert "VM vm-a cannot move from w2 to w1 (Connection timed out): w1: its packet filter drops TCP" in str(told)


def test_a_look_that_was_cut_short_with_its_vm_is_a_failure() -> None:
    cut = Inconclusive("the exit status of 'ping'", "the login session ended meanwhile")
    assert explained(Cluster(uid="one"), cut) is cut
    for cluster, words in ((Cluster(uid="two"), "another one is Running"), (Cluster(uid=""), "it is no more")):
        told = explained(cluster, cut)
        assert isinstance(told, ProductFailure)
        assert told.found.startswith("VM vm-a ended on w2 during the check: ")
        assert words in told.found


def scene_of(cluster: Cluster) -> Scene:
    seen = GuestVm("vm-a", "demo", VLAN, "02:00:00:20:24:10", ("192.168.24.20",), ["w2"], uid="one")
    never_ran = GuestVm("vm-b", "demo", VLAN, "02:00:00:20:24:11", ())
    site = SimpleNamespace(client=cluster)
    return cast(Scene, SimpleNamespace(guests={"vm-a": seen, "vm-b": never_ran}, site=site))


def test_a_vm_that_was_started_anew_between_two_checks_is_a_failure() -> None:
    all_lived_on(scene_of(Cluster()))
    with pytest.raises(ProductFailure, match=r"VM vm-a ended on w2 .*: another one is Running on no worker"):
        all_lived_on(scene_of(Cluster(uid="two")))
    with pytest.raises(ProductFailure, match="it is no more"):
        all_lived_on(scene_of(Cluster(uid="")))


def test_the_run_looks_at_that_when_a_scenario_has_passed() -> None:
    item = SimpleNamespace(stash={SCENE: scene_of(Cluster(uid="two"))})
    ending = Run.__dict__["pytest_runtest_call"](Run.__new__(Run), item)
    next(ending)
    with pytest.raises(ProductFailure, match="another one is Running"):
        next(ending)


def test_what_a_vm_that_ended_did_not_do_is_laid_to_its_end() -> None:
    silent = ProductFailure("VM vm-a to have a lease", "its DHCP server is silent, or it did not ask")
    assert explained(Cluster(), silent) is silent
    told = explained(Cluster(uid="two"), silent)
    assert isinstance(told, ProductFailure)
    assert "VM vm-a ended on w2 during the check: another one is Running" in str(told)


def test_what_is_said_to_have_ended_a_vm_stays_as_it_is() -> None:
    evicted = GuestEnded("the eviction of pod demo/virt-launcher-vm-a to be refused", "it was allowed")
    assert explained(Cluster(uid="two"), evicted) is evicted
