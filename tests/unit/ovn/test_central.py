"""Central mode, as before interconnect: one database for all nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.ovn.audit import Result, run
from lab.ovn.routes import Route, print_routes
from tests.unit.ovn.nbworld import a_map, a_set, ovsdb_file
from tests.unit.ovn.routes_world import order

NODES = ("w0", "w1", "w2")
VM = "10.128.0.9"
"""An address of w0's subnet."""


def base() -> list[Route]:
    rows = [Route(f"100.64.0.{n + 2}", f"100.64.0.{n + 2}") for n in range(3)]
    return rows + [Route(f"10.128.{n}.0/24", f"100.64.0.{n + 2}", "src-ip") for n in range(3)]


def leg(node: str, address: str = VM) -> Route:
    return Route(address, address, "dst-ip", f"rtos-{node}")


def inventory(runner: str, phase: str = "Running") -> str:
    head = "NAMESPACE  NAME  READY  STATUS  RESTARTS  AGE  IP  NODE  NOMINATED NODE  READINESS GATES"
    pod = f"vms  virt-launcher-db-abcde  1/1  {phase}  0  1d  {VM}  {runner}  <none>  1/1"
    subnets = "\n".join(f'{name}   {{"default":["10.128.{n}.0/24"]}}' for n, name in enumerate(NODES))
    return f"{head}\n{pod}\n\n{subnets}\n"


def pasted(folder: Path, rows: list[Route], known: str) -> Result:
    pod = "oc exec -n openshift-ovn-kubernetes -c nbdb ovnkube-master-x7k2p"
    command = f"$ {pod} -- ovn-nbctl lr-route-list ovn_cluster_router\n"
    path = folder / "paste"
    path.write_text(known + command + print_routes(sorted(rows, key=order)))
    return run([str(path)])


def kinds(result: Result) -> list[tuple[str, str]]:
    return [(f.kind, f.severity) for f in result.faults]


@pytest.mark.parametrize(
    ("legs", "runner", "expected"),
    [
        ([], "w0", []),
        ([leg("w1")], "w1", []),
        ([leg("w2")], "w1", [("WRONG_RUNNER", "CRITICAL")]),
        ([leg("w0")], "w0", [("STALE_AFTER_RETURN", "MAJOR")]),
        ([leg("w1"), leg("w2")], "w1", [("SPLIT_LOCAL", "CRITICAL")]),
        ([leg("w1"), leg("w1")], "w1", [("EXACT_DUP", "MINOR")]),
        ([], "w2", [("HOST_ROUTE_MISSING", "CRITICAL")]),
        ([Route(VM, "100.88.0.3")], "w1", [("FOREIGN_PORT", "CRITICAL")]),
    ],
)
def test_routes_of_a_central_database(tmp_path: Path, legs: list[Route], runner: str, expected: list[Any]) -> None:
    result = pasted(tmp_path, base() + legs, inventory(runner))
    assert kinds(result) == expected
    assert not result.topology.by_zone
    assert [zone.label for zone, _ in result.capture.central] == ["ovnkube-master-x7k2p"]


def test_the_stale_leg_goes_and_the_good_one_stays(tmp_path: Path) -> None:
    finding = pasted(tmp_path, [*base(), leg("w1"), leg("w2")], inventory("w1")).faults[0]
    assert finding.effects == ["every client: 50 % of its flows never arrive"]
    assert len(finding.remedies) == 1
    assert finding.remedies[0].endswith(f"lr-route-del ovn_cluster_router {VM} {VM} rtos-w2")
    roles = {(line.role, line.text.split()[3]) for line in finding.lines if line.role != "inventory"}
    assert ("stale", "rtos-w2") in roles


def test_leftovers_of_a_stopped_vm(tmp_path: Path) -> None:
    assert kinds(pasted(tmp_path, [*base(), leg("w1")], inventory("w1", "Completed"))) == [("ORPHAN_ROUTE", "MAJOR")]


def test_central_is_seen_without_a_pods_name_and_members_count_once(tmp_path: Path) -> None:
    for member in "abc":
        (tmp_path / f"{member}.txt").write_text(print_routes([*base(), leg("w1")]))
    result = run([str(tmp_path)])
    assert len(result.capture.central) == 1
    assert [why for _, why in result.capture.notes] == ["the same rows as in a: judged once"] * 2
    (tmp_path / "d.txt").write_text(print_routes(base()))
    assert "does a member lag behind" in run([str(tmp_path)]).capture.notes[-1][1]


@pytest.mark.parametrize(("hop", "expected"), [("100.64.0.3", []), ("100.64.0.4", ["egress"]), ("", ["egress"])])
def test_a_database_knows_the_policy_for_the_way_out(tmp_path: Path, hop: str, expected: list[str]) -> None:
    rows = {str(n): {"ip_prefix": r.prefix, "nexthop": r.nexthop} for n, r in enumerate([*base(), leg("w1")])}
    for n, route in enumerate([*base(), leg("w1")]):
        rows[str(n)] |= {"policy": route.policy} | ({"output_port": route.port} if route.port else {})
        rows[str(n)]["external_ids"] = a_map({"k8s.ovn.org/vm": "db"} if route.port else {})  # type: ignore[assignment]
    policy = {"priority": 10, "match": f"ip4.src == {VM}", "nexthops": hop}
    found: dict[str, Any] = {
        "Logical_Router": {
            "lr": {
                "name": "ovn_cluster_router",
                "static_routes": a_set([["uuid", uuid] for uuid in rows]),
                "policies": a_set([["uuid", "pol"]] if hop else []),
            }
        },
        "Logical_Router_Static_Route": rows,
        "Logical_Router_Policy": {"pol": policy} if hop else {},
        "Logical_Router_Port": {
            str(n): {"name": f"rtos-{name}", "networks": f"10.128.{n}.1/24"} for n, name in enumerate(NODES)
        },
    }
    (tmp_path / "leader_nbdb").write_bytes(ovsdb_file(found, "CLUSTER"))
    (tmp_path / "pods.txt").write_text(inventory("w1"))
    result = run([str(tmp_path)])
    assert ["egress" for f in result.faults if f.kind == "EGRESS_DEFAULT_MISSING"] == expected
    assert len(result.faults) == len(expected)
