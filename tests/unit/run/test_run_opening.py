"""What a run says when the target's own commands fail, before anything is made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.errors import EnvironmentBroken, UsageError
from lab.run import Lab
from lab.target.inventory import LabCommands, Target, load

SHIPPED = Path(__file__).parents[3] / "targets" / "embedded.yaml"
PYTHON = (sys.executable, "-c")
FAILS = (*PYTHON, "import sys; print('progress'); sys.exit('wanted a name: \\'Bad Name\\'\\n  try: --name lab-2')")


def lab_of(target: Target, tmp_path: Path) -> Lab:
    return Lab(target, "r1", tmp_path)


def test_a_lab_that_does_not_come_up_says_why_and_leaves_nothing_to_end(tmp_path: Path) -> None:
    target = load(SHIPPED)
    cluster = replace(target.cluster, kubeconfig_command=(*PYTHON, "raise SystemExit(1)"))
    target = replace(target, cluster=cluster, lab=LabCommands(up=FAILS, down=FAILS, status=()))
    lab = lab_of(target, tmp_path)
    with pytest.raises(EnvironmentBroken) as raised:
        lab.open()
    assert raised.value.found == "exit status 1: progress; wanted a name: 'Bad Name'; try: --name lab-2"
    assert "to succeed" in raised.value.wanted
    assert lab.close() == []


FAULTS = (*PYTHON, "print('FAULT WHAT\\nvlan-missing the switch')")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("frob node=x", ["wanted: --fault: a fault that ", "found: 'frob'", "list"]),
        ("", ["wanted: --fault: the name of a fault", "found: ''"]),
        ("vlan-missing 'node", ["words as a shell reads them", "No closing quotation"]),
    ],
)
def test_a_fault_that_cannot_be_is_said_before_any_policy(tmp_path: Path, spec: str, parts: list[str]) -> None:
    lab = lab_of(replace(load(SHIPPED), faults=FAULTS), tmp_path)
    with pytest.raises(UsageError) as raised:
        lab.fault_each_policy([spec])
    assert not [part for part in parts if part not in str(raised.value)], str(raised.value)


def test_faults_need_a_command(tmp_path: Path) -> None:
    lab = lab_of(replace(load(SHIPPED), faults=()), tmp_path)
    lab.fault_each_policy([])
    with pytest.raises(UsageError, match="a command that makes faults"):
        lab.fault_each_policy(["vlan-missing node=w1 vlan=2024"])
