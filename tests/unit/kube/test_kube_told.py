"""What a process tells its log of objects: decisions, by object, once; nothing of a spec."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lab.embedded.kube import events, told
from lab.embedded.model.kinds import NODE, VMI

READY = {"type": "Ready", "status": "False", "reason": "GuestNotRunning", "message": "Guest VM is not running"}


def test_only_what_changed_of_a_state_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    states = told.States()
    body: dict[str, Any] = {"spec": {"userData": "password: PLANTED"}, "status": {"phase": "Scheduled"}}
    states.wrote(VMI, "ns", "vm-a", body)
    body["status"] |= {"phase": "Running", "conditions": [READY]}
    states.wrote(VMI, "ns", "vm-a", body)
    states.wrote(VMI, "ns", "vm-a", body)
    states.wrote(VMI, "ns", "vm-b", {"status": {"nodeName": "w1"}})
    states.wrote(VMI, "ns", "vm-b", [{"op": "add", "path": "/status/phase", "value": "Running"}])
    states.wrote(NODE, None, "w1", {"status": {"conditions": [READY]}})
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("virtlab.api.VirtualMachineInstance", "ns/vm-a: phase Scheduled"),
        (
            "virtlab.api.VirtualMachineInstance",
            "ns/vm-a: phase Running; Ready False (GuestNotRunning: Guest VM is not running)",
        ),
    ]


def test_an_event_is_told_with_who_says_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    about = {"kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}}
    told.event(events.body(about, "Warning", "FailedScheduling", "0/3 nodes", "default-scheduler", ""))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "ns/p: FailedScheduling: 0/3 nodes (event of default-scheduler)"
