"""Each scenario of a VM on a Linux bridge, turned red by a fault of its own, and the reason names it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.conftest import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]
WORKERS = ("worker-1", "worker-2", "worker-3")


@dataclass(frozen=True)
class Expected:
    """Faults, the words that choose one scenario, and what its reason must say."""

    faults: tuple[str, ...]
    chosen: str
    names: tuple[str, ...]
    first: bool = False
    """Before anything else, and not once the network forwards: what was attached before a fault may stay well."""


MATRIX = (
    Expected(("stray-bridge node=worker-2 bridge=br1",), "finds_no_worker", ("vm-a", "it runs on worker-2")),
    # On two of three workers, so that a VM that moves meets it, and a witness is left.
    Expected(
        tuple(f"port-security node={worker} nic=ens3" for worker in WORKERS[:2]),
        "before_and_after",
        ("no answer from gateway 192.168.52.254", "does not pass between worker-", "and the switch"),
    ),
    Expected(
        tuple(f"spoof-check-lost node={worker}" for worker in WORKERS),
        "macspoofchk",
        ("silence between VM vm-b", "gateway 192.168.52.254", "5 of 5 answered"),
    ),
    Expected(
        tuple(f"bridge-plugin-old node={worker}" for worker in WORKERS),
        "vlan_in_the_attachment",
        ("VLAN 2024 of its attachment to keep VM vm-c", "gateway 192.168.52.254", "its frames go out untagged"),
        first=True,
    ),
)


@pytest.mark.parametrize("expected", MATRIX, ids=lambda e: e.faults[0].split()[0])
def test_a_fault_turns_its_scenario_red_and_the_reason_names_it(lab: RunningLab, expected: Expected) -> None:
    faults = [word for fault in expected.faults for word in ("--fault", fault) if not expected.first]
    for fault in expected.faults if expected.first else ():
        assert lab.virtlab("fault", "set", *fault.split()).returncode == 0
    code, record, said = lab.run("features/cnv_bridge", "-k", expected.chosen, *faults)
    lab.virtlab("fault", "heal")
    [scenario] = record["scenarios"]
    assert scenario["verdict"] == "failed", said
    assert [word for word in expected.names if word not in scenario["reason"]] == [], scenario["reason"]
    assert code == 1, said
