"""The audit of a running cluster: every name that pods and containers have had, and what moves meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from lab.cli import main
from lab.core.deadline import Deadline
from lab.core.errors import AccessDenied, CommandFailed, EnvironmentBroken, OperatorMissing, ProductFailure
from lab.diagnosis.routes import clean, every_zone_routes
from lab.ovn.live import audit_cluster
from lab.ovn.places import find
from lab.target.inventory import Component
from tests.unit.access.fakeapi import kubeconfig
from tests.unit.ovn.livecluster import OPENSHIFT, UPSTREAM, cluster
from tests.unit.ovn.nbworld import nbctl_json
from tests.unit.ovn.routes_world import World

NOWHERE = Component("elsewhere", "app=other", {"nb": "x", "sb": "y", "controller": "z"})


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def moved(bug: bool, *path: int) -> World:
    world = World(4, bug=bug)
    address = world.start(0, 0)[0]
    for target in path:
        world.migrate(address, target)
    return world


def kinds(result: Any) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(f.kind, f.subject, f.vm, tuple(f.zones)) for f in result.faults]


BROKEN = [
    ("ECMP_LOCAL_REMOTE", "10.128.0.10", "demo/vm0", ("worker-2",)),
    ("ECMP_REMOTE", "10.128.0.10", "demo/vm0", ("worker-0", "worker-3")),
]


@pytest.mark.parametrize("names", [OPENSHIFT, UPSTREAM, ("zones", ["ovn-controller", "nbdb"])])
@pytest.mark.parametrize("component", [None, NOWHERE])
def test_pods_are_found_whatever_they_are_called(tmp_path: Path, names: Any, component: Component | None) -> None:
    with cluster(moved(True, 1, 2), tmp_path, names) as (there, client):
        result = audit_cluster(client, component, deadline=soon(), settle_s=0.01)
        assert kinds(result) == BROKEN
        assert result.exit_code == 1
        word = "oc" if names is OPENSHIFT else "kubectl"
        container = "nb-ovsdb" if names is UPSTREAM else "nbdb"
        start = f"{word} exec -n {names[0]} -c {container} ovnkube-node-00002 -- ovn-nbctl"
        assert result.faults[0].remedies[0].startswith(start)
        assert all(argv[0] == container for argv in there.argvs)
        assert all("del" not in argv and "add" not in argv for argv in there.argvs)


def test_a_clean_cluster_is_read_once(tmp_path: Path) -> None:
    with cluster(moved(False, 1, 2), tmp_path) as (there, client):
        result = audit_cluster(client, deadline=soon())
        assert (kinds(result), result.exit_code) == ([], 0)
        assert there.readings == {0: 1, 1: 1, 2: 1, 3: 1}
        assert not result.capture.notes
        assert [f.kind for f in result.findings] == []


def test_a_vm_that_moves_meanwhile_means_another_reading(tmp_path: Path) -> None:
    world = moved(False, 1)
    address = next(iter(world.vms))
    with cluster(world, tmp_path) as (there, client):

        def moves(zone: int, count: int) -> None:
            if (zone, count) == (2, 1):
                world.migrate(address, 3)
                there.api.feed("MODIFIED", there.vmi(address))

        there.before = moves
        there.delay = lambda zone: 0.3 if zone == 3 else 0.1
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert kinds(result) == []
        assert min(there.readings.values()) == 2


def test_a_zone_that_follows_late_is_no_fault_and_that_is_said(tmp_path: Path) -> None:
    world = moved(False, 1)
    address = next(iter(world.vms))
    old = list(world.host_routes[3][address])
    with cluster(world, tmp_path) as (there, client):
        world.migrate(address, 2)
        new, world.host_routes[3][address] = world.host_routes[3][address], old

        def follows(zone: int, count: int) -> None:
            if zone == 3 and count == 2:
                world.host_routes[3][address] = new

        there.before = follows
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert kinds(result) == []
        assert there.readings[0] == 1
        assert [(where, why.split(":")[0]) for where, why in result.capture.notes] == [
            (address, "a fault that was gone when its zones were read again")
        ]


def test_a_zone_that_never_rests_is_said(tmp_path: Path) -> None:
    world = moved(True, 1, 2)
    address = next(iter(world.vms))
    with cluster(world, tmp_path) as (there, client):

        def flaps(zone: int, count: int) -> None:
            if zone == 3:
                world.host_routes[3][address].reverse()
                world.host_routes[3][address][:] = world.host_routes[3][address][: 1 + count % 2] * (1 + count % 2)

        there.before = flaps
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert result.exit_code == 1
        assert [why for where, why in result.capture.notes if "00003" in where] == [
            "its routes were others in each of 5 readings: not at rest"
        ]


def test_a_vm_that_migrates_is_not_judged(tmp_path: Path) -> None:
    with cluster(moved(True, 1, 2), tmp_path) as (there, client):
        address = there.vms()[0]
        there.vmis = lambda: [there.vmi(address, moving=True)]  # type: ignore[method-assign]
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert [f.kind for f in result.findings] == ["MIGRATING"]
        with pytest.raises(ProductFailure, match="MIGRATING"):
            every_zone_routes(client, NOWHERE, "demo", "vm0", deadline=soon(), patience_s=0.01)


def test_leftovers_of_a_vm_that_is_gone_and_an_address_that_a_pod_has_now(tmp_path: Path) -> None:
    with cluster(moved(False, 1), tmp_path) as (there, client):
        address = there.vms()[0]
        there.vms = list  # type: ignore[method-assign]
        assert [(f.kind, f.severity) for f in audit_cluster(client, deadline=soon(), settle_s=0.01).faults] == [
            ("ORPHAN_ROUTE", "MAJOR")
        ]
        spec = {"nodeName": "worker-0"}
        new = {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": {"podIP": address}}
        there.more = [new]
        found = audit_cluster(client, deadline=soon(), settle_s=0.01).faults
        assert [(f.kind, f.severity) for f in found] == [("ORPHAN_ROUTE", "CRITICAL")]
        assert "shop/web" in found[0].summary


def test_a_zone_that_cannot_be_read_is_no_clean_verdict(tmp_path: Path) -> None:
    with cluster(moved(False, 1), tmp_path) as (there, client):
        whole = there.output
        there.output = lambda zone: ("ovn-nbctl: database connection failed\n", 1) if zone == 3 else whole(zone)
        there.world.dump = lambda zone: ""  # type: ignore[method-assign,assignment]
        there.phases[1] = "Pending"
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert result.exit_code == 2
        assert {f.subject for f in result.findings if f.kind == "ZONE_NOT_CAPTURED"} == {"worker-1", "worker-3"}
        assert ("zone worker-1", "pod ovnkube-node-00001 is Pending") in result.capture.notes
        with pytest.raises(EnvironmentBroken, match="worker-1"):
            clean(client, NOWHERE, deadline=soon())


def test_an_ovn_nbctl_that_does_not_know_the_columns_is_asked_for_text(tmp_path: Path) -> None:
    with cluster(moved(True, 1, 2), tmp_path) as (there, client):
        there.output = lambda zone: ("ovn-nbctl: no column policies\n", 1)
        assert kinds(audit_cluster(client, deadline=soon(), settle_s=0.01)) == BROKEN


def central(rows: dict[str, str]) -> str:
    """A central database: three nodes, routes as address -> port."""
    base = {f"10.128.{8 * n}.0/21": (f"100.64.0.{n + 20}", "src-ip", "") for n in range(3)}
    found = {
        f"r{n}": {"ip_prefix": prefix, "nexthop": hop, "policy": policy} | ({"output_port": port} if port else {})
        for n, (prefix, (hop, policy, port)) in enumerate(
            {**base, **{a: (a, "dst-ip", port) for a, port in rows.items()}}.items()
        )
    }
    static = ["set", [["uuid", uuid] for uuid in found]]
    router = {"name": "ovn_cluster_router", "static_routes": static, "policies": ["uuid", "p"]}
    [(vm, port)] = rows.items()
    policies = {"p": {"priority": 10, "match": f"ip4.src == {vm}", "nexthops": f"100.64.0.{20 + int(port[-1])}"}}
    ports = {str(n): {"name": f"rtos-worker-{n}", "networks": f"10.128.{8 * n}.1/21"} for n in range(3)}
    whole = {"Logical_Router": {"lr": router}, "Logical_Router_Static_Route": found, "Logical_Router_Port": ports}
    return nbctl_json({**whole, "Logical_Router_Policy": policies})


def test_the_central_mode_is_one_database(tmp_path: Path) -> None:
    world = World(3)
    address = world.start(0, 0)[0]
    world.vms[address] = (0, 1)
    with cluster(world, tmp_path, OPENSHIFT) as (there, client):
        there.mode = "central"
        there.output = lambda zone: (central({address: "rtos-worker-2"}), 0)
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert [(f.kind, f.runner) for f in result.faults] == [("WRONG_RUNNER", "worker-1")]
        assert sum(there.readings.values()) == 2
        assert "list Logical_Router_Policy" in " ".join(there.argvs[0])
        assert "ovnkube-master-00000" in result.faults[0].remedies[0]
        with pytest.raises(ProductFailure, match="WRONG_RUNNER"):
            every_zone_routes(client, NOWHERE, "demo", "vm0", deadline=soon(), patience_s=0.01)
        there.output = lambda zone: (central({address: "rtos-worker-1"}), 0)
        assert not every_zone_routes(client, NOWHERE, "demo", "vm0", deadline=soon()).faults


def test_a_cluster_without_ovn_says_what_it_has(tmp_path: Path) -> None:
    with cluster(World(3), tmp_path) as (there, client):
        there.containers = ["ovnkube-node", "ovn-controller"]
        with pytest.raises(OperatorMissing, match="3 pods app=ovnkube-node") as error:
            audit_cluster(client, deadline=soon())
        assert "nbdb or nb-ovsdb" in str(error.value)


def test_who_may_list_only_some_namespaces(tmp_path: Path) -> None:
    with cluster(moved(True, 1, 2), tmp_path) as (there, client):
        there.forbidden = {"/api/v1/pods", "/apis/kubevirt.io/v1/virtualmachineinstances"}
        assert len(find(client, None, deadline=soon()).places) == 4
        result = audit_cluster(client, deadline=soon(), settle_s=0.01)
        assert [(f.kind, f.verified) for f in result.faults] == [("ECMP_LOCAL_REMOTE", False), ("ECMP_REMOTE", False)]
        assert sum("are not known" in why for _, why in result.capture.notes) == 2
        there.forbidden |= {
            "/api/v1/namespaces/ovn-kubernetes/pods",
            "/api/v1/namespaces/openshift-ovn-kubernetes/pods",
        }
        with pytest.raises((AccessDenied, OperatorMissing)):
            audit_cluster(client, deadline=soon())


def test_no_zone_at_all_is_the_first_error(tmp_path: Path) -> None:
    with cluster(World(3), tmp_path) as (there, client):
        there.output = lambda zone: ("no socket\n", 1)
        there.api.exec, inner = None, there.api.exec
        with pytest.raises(Exception, match="ovnkube-node-00000"):
            audit_cluster(client, deadline=soon())
        there.api.exec = inner
        assert CommandFailed  # both kinds of failure end in an error of ours


def test_every_zone_routes_waits_for_zones_that_follow_and_names_what_does_not(tmp_path: Path) -> None:
    world = moved(False, 1)
    address = next(iter(world.vms))
    rows = world.host_routes[3].pop(address)
    with cluster(world, tmp_path) as (there, client):

        def follows(zone: int, count: int) -> None:
            if zone == 3 and count == 2:
                world.host_routes[3][address] = rows

        there.before = follows
        begun = time.monotonic()
        every_zone_routes(client, NOWHERE, "demo", "vm0", deadline=soon(), patience_s=10)
        assert there.readings[3] == 2
        assert time.monotonic() - begun < 8
        there.before = lambda zone, count: None
        world.host_routes[3].pop(address)
        with pytest.raises(ProductFailure) as error:
            every_zone_routes(client, NOWHERE, "demo", "vm0", deadline=soon(), patience_s=0.01)
        for part in ("demo/vm0", address, "HOST_ROUTE_MISSING", "worker-3", "delete pod ovnkube-node-00003"):
            assert part in str(error.value)
        with pytest.raises(EnvironmentBroken, match="an address of VM demo/other"):
            every_zone_routes(client, NOWHERE, "demo", "other", deadline=soon(), patience_s=0.01)


def test_the_command_on_a_kubeconfig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with cluster(moved(True, 1, 2), tmp_path) as (there, _):
        config = str(kubeconfig(tmp_path, there.api.url))
        assert main(["audit", "routes", "--kubeconfig", config, "--settle", "0.01"]) == 1
        assert "ECMP_LOCAL_REMOTE  10.128.0.10  in worker-2" in capsys.readouterr().out
        assert main(["audit", "routes", "--kubeconfig", config, "--context", "no"]) == 2
        assert main(["audit", "routes", "x", "--kubeconfig", config]) == 2
        assert "both a PATH and --kubeconfig" in capsys.readouterr().err
    assert main(["audit", "routes", "--kubeconfig", config]) == 10


def test_zones_are_read_at_once(tmp_path: Path) -> None:
    with cluster(World(20), tmp_path) as (there, client):
        there.delay = lambda zone: 0.4
        begun = time.monotonic()
        assert audit_cluster(client, deadline=soon()).exit_code == 0
        assert time.monotonic() - begun < 20 * 0.4 / 2
