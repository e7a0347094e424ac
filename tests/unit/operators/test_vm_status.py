"""What a VM says: run strategies, printable status, conditions, back-off, restarts."""

from __future__ import annotations

from typing import Any

import pytest
from operator_samples import Obj, vm, vmi

from lab.embedded.operators.objects import clone
from lab.embedded.operators.vm import render_vmi
from lab.embedded.operators.vm_status import SyncError, backoff_left, printable_status, vm_status, wants_start

READY = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def started(owner: Obj, phase: str = "Running", **status: Any) -> Obj:
    found = vmi(phase=phase, **status)
    rendered = render_vmi(owner)
    found["spec"] = rendered["spec"]
    found["metadata"]["annotations"] = rendered["metadata"]["annotations"]
    return found


def test_running() -> None:
    owner = vm()
    status = vm_status(owner, started(owner, conditions=[{"type": "LiveMigratable", "status": "True"}, READY]), None)
    assert status == {
        "created": True,
        "ready": True,
        "printableStatus": "Running",
        "runStrategy": "Always",
        "observedGeneration": 1,
        "desiredGeneration": 1,
        "conditions": [READY, {"type": "LiveMigratable", "status": "True"}],
        "volumeSnapshotStatuses": [
            {"enabled": False, "name": "rootdisk", "reason": "Snapshot is not supported for this volumeSource type"}
        ],
    }


def test_stopped_omits_what_is_false() -> None:
    status = vm_status(vm(strategy="Halted"), None, None)
    assert {key: status[key] for key in status if key not in ("conditions", "volumeSnapshotStatuses")} == {
        "printableStatus": "Stopped",
        "runStrategy": "Halted",
        "observedGeneration": 1,
        "desiredGeneration": 1,
    }
    assert [(c["type"], c["status"], c["reason"], c["message"]) for c in status["conditions"]] == [
        ("Ready", "False", "VMINotExists", "VMI does not exist")
    ]


def test_status_of_an_unchanged_vm_is_unchanged() -> None:
    owner = vm(strategy="Halted")
    first = vm_status(owner, None, None)
    assert vm_status({**owner, "status": first}, None, None) == first


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"phase": "Pending"}, "Starting"),
        ({"phase": "Scheduled"}, "Starting"),
        ({"phase": "Running"}, "Running"),
        ({"migrationState": {"startTimestamp": "t"}}, "Migrating"),
        ({"migrationState": {"startTimestamp": "t", "endTimestamp": "t"}}, "Running"),
        ({"conditions": [{"type": "Paused", "status": "True"}]}, "Paused"),
        (
            {
                "phase": "Scheduling",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            },
            "ErrorUnschedulable",
        ),
        ({"phase": "WaitingForSync"}, "WaitingForReceiver"),
    ],
)
def test_printable_status(change: dict[str, Any], expected: str) -> None:
    assert printable_status(vm(), vmi(**{"phase": "Running", **change})) == expected


def test_terminating_and_stopping_come_first() -> None:
    moving = vmi(migrationState={"startTimestamp": "t"})
    moving["metadata"]["deletionTimestamp"] = "t"
    assert printable_status(vm(), moving) == "Stopping"
    gone = vm()
    gone["metadata"]["deletionTimestamp"] = "t"
    assert printable_status(gone, moving) == "Terminating"


def test_crash_loop() -> None:
    owner = vm()
    failed = vmi(phase="Failed")
    first = vm_status(owner, failed, None)
    assert first["startFailure"]["consecutiveFailCount"] == 1
    assert first["printableStatus"] == "CrashLoopBackOff"
    owner["status"] = first
    assert vm_status(owner, failed, None)["startFailure"] == first["startFailure"]
    assert 5 < backoff_left(owner) <= 20
    again = vmi(phase="Failed")
    again["metadata"]["uid"] = "another"
    assert vm_status(owner, again, None)["startFailure"]["consecutiveFailCount"] == 2
    assert "startFailure" not in vm_status(owner, vmi(phase="Running"), None)


def test_a_vmi_that_ran_before_it_failed_is_no_start_failure() -> None:
    ran = vmi(phase="Failed", phaseTransitionTimestamps=[{"phase": "Running", "phaseTransitionTimestamp": "t"}])
    assert "startFailure" not in vm_status(vm(), ran, None)


def test_state_change_requests_are_taken_off_when_served() -> None:
    stop, start = {"action": "Stop", "uid": "uid-vmi-vm"}, {"action": "Start"}
    owner = vm(strategy="Manual", status={"stateChangeRequests": [stop, start]})
    assert vm_status(owner, vmi(), None)["stateChangeRequests"] == [stop, start]
    assert vm_status(owner, None, None)["stateChangeRequests"] == [start]
    owner["status"]["stateChangeRequests"] = [start]
    assert "stateChangeRequests" not in vm_status(owner, vmi(), None)


@pytest.mark.parametrize(
    ("strategy", "before", "requests", "expected"),
    [
        ("Always", "", [], True),
        ("Halted", "", [], False),
        ("Manual", "", [], False),
        ("Manual", "Manual", [{"action": "Start"}], True),
        ("RerunOnFailure", "", [], True),
        ("RerunOnFailure", "RerunOnFailure", [], False),
        ("RerunOnFailure", "RerunOnFailure", [{"action": "Start"}], True),
        ("Once", "", [], True),
        ("Once", "Once", [], False),
    ],
)
def test_wants_start(strategy: str, before: str, requests: list[Obj], expected: bool) -> None:
    owner = vm(strategy=strategy, status={"stateChangeRequests": requests, "runStrategy": before})
    assert wants_start(owner) is expected


def test_failure_condition_comes_and_goes() -> None:
    owner = vm()
    text = "Failure while starting VMI: no"
    owner["status"] = vm_status(owner, None, SyncError("FailedCreate", text))
    failure = [entry for entry in owner["status"]["conditions"] if entry["type"] == "Failure"]
    assert [(entry["status"], entry["reason"], entry["message"]) for entry in failure] == [
        ("True", "FailedCreate", text)
    ]
    assert "runStrategy" not in owner["status"]
    assert all(entry["type"] != "Failure" for entry in vm_status(owner, vmi(), None)["conditions"])


def test_restart_required_only_for_what_is_not_live() -> None:
    owner = vm()
    running = started(owner)
    owner["metadata"]["generation"] = 2
    owner["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "b"}
    status = vm_status(owner, running, None)
    assert status["observedGeneration"] == 2
    changed = clone(owner)
    changed["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "256Mi"
    status = vm_status(changed, running, None)
    assert (status["observedGeneration"], status["desiredGeneration"]) == (1, 2)
    entry = next(entry for entry in status["conditions"] if entry["type"] == "RestartRequired")
    assert entry["message"] == "a non-live-updatable field was changed in the template spec"


def test_the_vmi_of_a_vm() -> None:
    made = render_vmi(vm())
    assert made["metadata"]["name"] == "vm"
    assert made["metadata"]["finalizers"] == ["kubevirt.io/virtualMachineControllerFinalize"]
    assert made["metadata"]["annotations"] == {
        "kubevirt.io/vm-generation": "1",
        "kubevirt.io/pci-topology-version": "v3",
    }
    assert made["spec"]["domain"]["firmware"]["uuid"] == render_vmi(vm())["spec"]["domain"]["firmware"]["uuid"]
