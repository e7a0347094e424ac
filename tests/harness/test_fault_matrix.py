"""A green run means right packets only if wrong ones turn it red: a sample of the fault matrix, run for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.evidence.reading import load
from tests.conftest import RunningLab
from tests.harness.annotator import annotating
from tests.matrix import cells, table
from tests.matrix.cells import Group

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SAMPLE = cells.sample(cells.load())


def asked_and_unanswered(folder: Path, scenario: dict[str, Any]) -> bool:
    """Whether the evidence has a capture that tcpdump opens, with a question of the VM in it and no answer."""
    captures = [name for name in scenario["evidence_files"] if name.endswith(".pcap")]
    argv = ["tcpdump", "-Z", "root"] if os.geteuid() == 0 else ["tcpdump"]
    said = ""
    for name in captures:
        file = folder / scenario["evidence"] / name
        said += subprocess.run([*argv, "-nn", "-r", str(file)], capture_output=True, text=True, check=True).stdout
    return ("echo request" in said or "who-has" in said) and "192.168.24.1 > 192.168.24." not in said


DECISIONS = {
    "logs/kubevirt/virt-controller-": "vm-a: phase Scheduled",
    "logs/kubevirt/virt-handler-": "vm-a: phase Running",
    "logs/nmstate/nmstate-handler-": "ovs-br1-vlan-trunk",
    "logs/ovn/ovnkube-node-": "port ",
    "/virt-launcher-vm-a-": "starts; vlan-2024 02:",
}
"""Where an operator's log is in the evidence, and what it must say of the objects of a scenario on VLAN 2024."""


def operators_without_a_word(folder: Path, scenario: dict[str, Any]) -> list[str]:
    """Operators whose logs in the evidence do not tell what they decided."""
    files = {name: folder / scenario["evidence"] / name for name in scenario["evidence_files"]}
    said = {part: "".join(f.read_text() for name, f in files.items() if part in name) for part in DECISIONS}
    return [part for part, words in DECISIONS.items() if words not in said[part]]


@pytest.mark.parametrize("group", SAMPLE, ids=lambda g: g.scenario)
def test_each_fault_of_the_sample_does_what_it_must_and_the_reason_names_it(lab: RunningLab, group: Group) -> None:
    faults = [word for cell in group.cells for word in ("--each-fault", cell.fault)]
    code, record, said = lab.run(group.feature, "-k", group.choose, *faults)
    found = cells.outcomes(group, [load(lab.folder / "out" / record["run_id"] / "run.json")])
    wrong = [one for one in found if not one.expected or one.lacking]
    assert wrong == [], "\n".join([*table.lines(wrong, 0), said])
    first = record["scenarios"][0]
    assert asked_and_unanswered(lab.folder / "out" / record["run_id"], first), first["evidence_missing"]
    assert operators_without_a_word(lab.folder / "out" / record["run_id"], first) == []
    assert code == 1
    assert lab.virtlab("fault", "list").stdout.count("set:") == 0


def test_a_bug_of_ovn_kubernetes_kills_part_of_the_flows_and_the_reason_names_the_routes(lab: RunningLab) -> None:
    code, record, said = lab.run("--fault", "ovnk-bug bug=OCPBUGS-27215", "-k", "wherever_it_has_moved")
    (scenario,) = record["scenarios"]
    assert (code, scenario["verdict"]) == (1, "failed"), said
    (failed,) = [step for step in scenario["steps"] if step["status"] == "failed"]
    moves = [step["name"] for step in scenario["steps"] if "migrates" in step["name"] and step["status"] == "passed"]
    assert failed["name"] == "vm-p is reached from every zone"
    assert len(moves) == 2, "the first move leaves one route: the bug shows after the second"
    counts = re.findall(r"(\d+) of 16 from (worker-\d)", scenario["reason"])
    assert {worker for _, worker in counts} == {"worker-1", "worker-2", "worker-3"}
    assert min(int(alive) for alive, _ in counts) < 16
    address = re.search(r"\((10\.128\.\d+\.\d+)\)", scenario["reason"])
    assert address is not None
    here = scenario["reason"].partition("VM vm-p on ")[2].split()[0]
    wanted = (
        f"ECMP_LOCAL_REMOTE {address[1]} in {here}",
        f"{address[1]} {address[1]} dst-ip rtos-{here}",
        f"--policy=dst-ip lr-route-del ovn_cluster_router {address[1]} 100.88.0.",
    )
    assert [words for words in wanted if words not in scenario["reason"]] == [], scenario["reason"]


ZONES = {
    "snat-missing node={node}": (
        "vm-p reaches the outside host outside",
        ("gateway router GR_{node} has no snat rule for 10.128.",),
    ),
    "missing-route node={node} to={elsewhere}": (
        "vm-p reaches a pod in every zone",
        ("no answer from the pod on {elsewhere}", "CRITICAL SUBNET_ROUTE_MISSING 10.128.", "in {node}"),
    ),
    "stale-ecmp-route node=worker-1 to=worker-2 via=worker-3": (
        "every OVN zone routes vm-p to its node",
        ("ECMP_SUBNET 10.128.2.0/23 in worker-1",),
    ),
}


def test_each_check_of_the_pod_network_can_be_the_first_to_fail(lab: RunningLab) -> None:
    """A detour loses no packet: only the audit sees it."""
    faults = [word for fault in ZONES for word in ("--each-fault", fault)]
    code, record, said = lab.run("-k", "wherever_it_has_moved", "--evidence-budget", "0", *faults)
    assert code == 1
    for scenario, (step, names) in zip(record["scenarios"], ZONES.values(), strict=True):
        (failed,) = [one for one in scenario["steps"] if one["status"] == "failed"]
        assert (failed["name"], scenario["verdict"]) == (step, "failed"), said
        found = scenario["reason"].partition("found: ")[2].splitlines()[0]
        for name in names:
            pattern = re.escape(name).replace(r"\{node\}", r"worker-\d").replace(r"\{elsewhere\}", r"worker-\d")
            assert re.search(pattern, found), found


def test_a_vm_that_somebody_makes_migratable_does_not_stay(lab: RunningLab) -> None:
    with annotating(lab):
        code, record, said = lab.run("-k", "without_the_annotation")
    (scenario,) = record["scenarios"]
    (failed,) = [step for step in scenario["steps"] if step["status"] == "failed"]
    assert (code, scenario["verdict"], failed["name"]) == (
        1,
        "failed",
        'vm-q is not migratable, since it "does not use masquerade"',
    ), said
    assert "LiveMigratable is True" in scenario["reason"]


def test_the_audit_and_the_placement_read_a_running_lab(lab: RunningLab) -> None:
    done = lab.virtlab("audit", "routes", "--target", "targets/embedded.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    zones = json.loads(done.stdout)["zones"]
    assert [(zone["node"], len(zone["subnets"]), len(zone["transit"])) for zone in zones] == [
        (f"worker-{number}", 1, 1) for number in (1, 2, 3)
    ]
    done = lab.virtlab("show", "placement", "--target", "targets/embedded.yaml", "--json")
    assert done.returncode == 0, done.stderr
    pods = {node["name"]: node["pod"] for node in json.loads(done.stdout)["nodes"]}
    assert {pods[zone["node"]] for zone in zones} == {zone["pod"] for zone in zones}
