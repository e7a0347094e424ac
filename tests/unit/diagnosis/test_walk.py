"""A whole walk against a cluster that answers with what was recorded: what is asked where, and what is done without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.access.kinds import POD, VMI
from lab.core import facts, trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.result import CommandResult
from lab.diagnosis.guestside import asking
from lab.diagnosis.walk import DEVICES, Way, walk
from lab.multus.attachment import Attachment
from lab.ovn import frames, zonestate
from lab.target.inventory import load
from lab.topology.podnet import POD_NETWORK
from lab.topology.scene import GuestVm
from lab.topology.site import Site
from tests.unit.diagnosis.walkworld import ACL, text

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")
VLAN = TARGET.vlan(2024)


class Cluster:
    """Its client: one launcher pod, one ovnkube pod; each look at a thing gets the next text."""

    server = "https://fake"

    def __init__(self, *, refused: Sequence[str] = ()) -> None:
        self.refused = refused
        self.asked: list[tuple[str, str]] = []
        self.looks = {"look": ["before", "after"], "devices": ["pod-before", "pod-after"]}

    def serves(self, _: Any) -> bool:
        return False

    def get(self, kind: Any, name: str, namespace: str) -> dict[str, Any]:
        assert (kind, name, namespace) == (VMI, "vm-a", ACL.namespace)
        interfaces = [{"name": "localnet-network", "mac": ACL.mac}]
        status = {"nodeName": ACL.node, "phase": "Running", "interfaces": interfaces}
        return {"metadata": {"name": name, "namespace": namespace, "uid": "u1"}, "status": status}

    def list(self, kind: Any, namespace: str, **_: object) -> list[dict[str, Any]]:
        assert kind is POD
        name = ACL.pod if namespace == ACL.namespace else "ovnkube-node-w2"
        status = {"phase": "Running", "podIP": "10.128.2.5"}
        return [{"metadata": {"name": name}, "spec": {"nodeName": ACL.node}, "status": status}]

    def exec(
        self, pod: str, namespace: str, container: str, argv: Sequence[str], *, deadline: Deadline
    ) -> CommandResult:
        assert 0 < deadline.remaining() <= 8
        what = self._what(tuple(argv))
        self.asked.append((pod, what))
        if pod in self.refused:
            raise EnvironmentBroken(f"exec in {pod}", "pods/exec is forbidden")
        case = self.looks[what].pop(0) if what in self.looks else what
        return CommandResult(tuple(argv), pod, 0, text(f"acl/{case}"), "", 0.1)

    @staticmethod
    def _what(argv: tuple[str, ...]) -> str:
        known = {frames.LOOK: "look", DEVICES: "devices", zonestate.ARGV: "zone", frames.sample(ACL.mac): "flows"}
        return known.get(argv, "trace")


class Shell:
    place = "guest vm-a"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        assert tuple(argv) == asking("192.168.24.1")
        return CommandResult(tuple(argv), self.place, 0, text("acl/guest"), "", 2.5)

    def close(self) -> None:
        pass


def site(cluster: Cluster, folder: Path) -> Site:
    made = Site(cluster, TARGET, "r1", (ACL.node,), folder)  # type: ignore[arg-type]
    made.residents.networks[VLAN.name] = Attachment("ns", "vlan-2024", "vlan-2024", "vlan-2024", "localnet", 2024)
    return made


def way(shell: Shell | None = None, segment: Any = VLAN) -> Way:
    guest = GuestVm("vm-a", ACL.namespace, segment, ACL.mac, (ACL.address,), visited=[ACL.node], shell=shell)
    return Way(guest, "gateway 192.168.24.1", "192.168.24.1", segment, (ACL.node,))


def test_a_walk_asks_guest_pod_and_node_and_tells_the_record(tmp_path: Path) -> None:
    cluster, told = Cluster(), []
    end = trace.subscribe(lambda event: told.append(event.data.get("fact")))
    try:
        found = walk(site(cluster, tmp_path), way(Shell()))
    finally:
        end()
    assert found.unread == ()
    assert "worker-2: OVN drops frames of vm-a on VLAN 2024 in ls_in_acl" in found.found
    pods = {"devices": ACL.pod, **dict.fromkeys(("look", "zone", "flows", "trace"), "ovnkube-node-w2")}
    assert {(pod, what) for pod, what in cluster.asked} == {(pod, what) for what, pod in pods.items()}
    (path,) = [fact for fact in told if isinstance(fact, facts.Path)]
    assert (path.node, path.part) == ("worker-2", "ovn")
    assert path.lines[0] == "VM vm-a on VLAN 2024 -> gateway 192.168.24.1"
    assert any(line.startswith("LOST worker-2: OVN") for line in path.lines)


def test_where_exec_is_refused_on_the_node_the_guest_and_its_pod_are_walked(tmp_path: Path) -> None:
    found = walk(site(Cluster(refused=["ovnkube-node-w2"]), tmp_path), way(Shell()))
    assert [s.place for s in found.stations] == [
        "NIC enp1s0 of the guest", "tap tap387414c1999", "387414c1999-nic of the pod",
    ]  # fmt: skip
    said = "wanted exec in ovnkube-node-w2; found pods/exec is forbidden"
    assert sorted(found.unread) == [
        f"Open vSwitch of worker-2: {said}",
        f"flows on worker-2: {said}",
        f"zone of worker-2: {said}",
    ]
    assert found.lost == -1


def test_a_guest_that_nobody_is_logged_in_to_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    found = walk(site(Cluster(), tmp_path), way())
    assert "guest vm-a: nobody is logged in there" in found.unread
    assert found.stations[0].place == "tap tap387414c1999"


@pytest.mark.parametrize(("segment", "asked"), [(TARGET.vlan(1993), 0), (POD_NETWORK, 1)])
def test_a_network_that_no_resident_is_in_is_walked_on_the_pod_network_only(
    segment: Any, asked: int, tmp_path: Path
) -> None:
    cluster = Cluster()
    found = walk(site(cluster, tmp_path), way(Shell(), segment))
    assert bool(found.stations) is bool(cluster.asked) is bool(asked)
    assert "trace" not in {what for _, what in cluster.asked}
