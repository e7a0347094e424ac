"""start, stop, restart: which object each changes, and upstream's refusals."""

from __future__ import annotations

from typing import Any

import pytest
from operator_samples import Obj, vm, vmi

from lab.embedded.operators.virtapi.answers import Refusal
from lab.embedded.operators.virtapi.app import discovery
from lab.embedded.operators.virtapi.lifecycle import Change, migrate, restart, start, stop

STOP = {"action": "Stop", "uid": "uid-vmi-vm"}
START = {"action": "Start"}


def refused(call: Any, *args: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.code, caught.value.message


def test_start() -> None:
    assert start(vm(strategy="Halted"), None) == Change(spec={"runStrategy": "Always"})
    assert start(vm(strategy="Manual"), None) == Change(requests=[START])
    assert start(vm(strategy="Manual"), vmi(phase="Succeeded")) == Change(requests=[STOP, START])
    legacy = vm()
    legacy["spec"] = {"running": False, "template": {}}
    assert start(legacy, None) == Change(spec={"running": True})
    prefix = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "vm": '
    assert refused(start, vm(), vmi()) == (409, prefix + "VM is already running")
    assert refused(start, vm(), None) == (409, prefix + "Always does not support manual start requests")


def test_stop() -> None:
    assert stop(vm(), vmi(), {}) == Change(spec={"runStrategy": "Halted"})
    assert stop(vm(strategy="Manual"), vmi(), {"gracePeriod": 0}) == Change(requests=[STOP], grace=0)
    assert refused(stop, vm(strategy="Manual"), None, {})[1].endswith("VM is not running")
    assert refused(stop, vm(strategy="Halted"), None, {})[1].endswith("VM is not running")
    text = "Halted only supports manual stop requests with a shorter graceperiod"
    assert refused(stop, vm(strategy="Halted"), vmi(), {})[1].endswith(text)
    assert stop(vm(strategy="Halted"), vmi(), {"gracePeriod": 1}) == Change(grace=1)


def test_restart() -> None:
    assert restart(vm(), vmi(), {}) == Change(requests=[STOP, START])
    assert refused(restart, vm(strategy="Halted"), None, {})[1].endswith(
        "RunStategy Halted does not support manual restart requests"
    )
    assert refused(restart, vm(), None, {})[1].endswith("VM is not running: Always")
    assert refused(restart, vm(), vmi(), {"gracePeriodSeconds": 5})[0] == 400


def test_migrate() -> None:
    assert migrate(vm(), vmi(), {"addedNodeSelector": {"a": "b"}}) == {"vmiName": "vm", "addedNodeSelector": {"a": "b"}}
    assert refused(migrate, vm(), None, {}) == (404, 'virtualmachineinstance.kubevirt.io "vm" not found')
    assert refused(migrate, vm(), vmi(phase="Scheduled"), {})[0] == 409


def test_discovery_has_the_keys_that_go_writes() -> None:
    entries: list[Obj] = discovery("v1")["resources"]
    assert all(set(entry) == {"name", "singularName", "namespaced", "kind", "verbs"} for entry in entries)
    assert {"virtualmachines/start", "virtualmachineinstances/console", "expand-vm-spec"} <= {
        e["name"] for e in entries
    }
