"""How far a VM got, read from its instance and the events around it."""

from __future__ import annotations

from typing import Any

from lab.kubevirt.fate import Fate, judge

NO_BRIDGE = "0/3 nodes are available: 3 Insufficient bridge.network.kubevirt.io/br1."
REFUSED = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod network sandbox k8s_a: error "
    'adding pod demo_a to CNI network "multus-cni-network": plugin type="multus" failed (add): [demo/a/u:br1]: error '
    'adding container to network "br1": failed to setup vlan tag on interface "x": operation not supported'
)


def vmi(phase: str, **condition: str) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase, "conditions": [condition] if condition else []}
    return {"metadata": {"name": "a", "namespace": "demo", "uid": "u"}, "status": {**status, "nodeName": "w1"}}


def event(reason: str, message: str, name: str = "virt-launcher-a-x2x4z") -> dict[str, Any]:
    about = {"name": name, "namespace": "demo"}
    return {"type": "Warning", "reason": reason, "message": message, "involvedObject": about, "lastTimestamp": "t"}


def test_it_runs() -> None:
    assert judge(vmi("Running"), [event("FailedCreatePodSandBox", REFUSED)], "a").value == Fate(node="w1")


def test_no_worker_has_what_it_asks_for() -> None:
    waiting = vmi("Scheduling", type="PodScheduled", status="False", reason="Unschedulable", message=NO_BRIDGE)
    seen = judge(waiting, [], "a")
    assert seen.value == Fate(why=NO_BRIDGE)
    assert seen.text == f"phase Scheduling, Unschedulable: {NO_BRIDGE}"


def test_its_worker_refuses_the_network_in_the_plugins_words() -> None:
    seen = judge(vmi("Scheduling"), [event("FailedCreatePodSandBox", REFUSED)], "a")
    assert seen.value is not None
    assert seen.value.why == (
        'FailedCreatePodSandBox: [demo/a/u:br1]: error adding container to network "br1": failed to setup vlan tag on '
        'interface "x": operation not supported'
    )


def test_other_warnings_and_other_vms_decide_nothing() -> None:
    others = [event("FailedScheduling", NO_BRIDGE), event("FailedCreatePodSandBox", REFUSED, "virt-launcher-b-x2x4z")]
    assert judge(vmi("Scheduling"), others, "a").value is None
    assert judge(None, others, "a").text == "no instance yet"


def test_an_instance_that_ended_will_not_run() -> None:
    assert judge(vmi("Failed"), [], "a").hopeless == "the instance is Failed"
