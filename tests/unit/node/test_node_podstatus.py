"""Phases, readiness and container states as a kubelet writes them."""

from typing import Any

import pytest

from lab.embedded.node.podstatus import ContainerState, conditions, phase_of


def state(*, begun: bool = True, exit: int | None = None) -> ContainerState:
    made = ContainerState("compute", "img")
    if begun:
        made.begin("virtlab://x")
    if exit is not None:
        made.end(exit)
    return made


@pytest.mark.parametrize(
    ("states", "restarting", "phase"),
    [
        ([state(begun=False)], False, "Pending"),
        ([state()], False, "Running"),
        ([state(), state(exit=1)], False, "Running"),
        ([state(exit=0)], False, "Succeeded"),
        ([state(exit=0), state(exit=3)], False, "Failed"),
        ([state(exit=3)], True, "Running"),
    ],
)
def test_phase(states: list[ContainerState], restarting: bool, phase: str) -> None:
    assert phase_of(states, restarting=restarting) == phase


def by_type(pod: dict[str, Any], phase: str, states: list[ContainerState]) -> dict[str, Any]:
    return {entry["type"]: entry for entry in conditions(pod, phase, states, sandbox=True, initialized=True)}


GATED: dict[str, Any] = {"spec": {"readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]}}


def test_gates_hold_back_ready_only() -> None:
    found = by_type(GATED, "Running", [state()])
    assert (found["ContainersReady"]["status"], found["Ready"]["status"]) == ("True", "False")
    assert found["Ready"]["reason"] == "ReadinessGatesNotReady"
    gate = {"type": "kubevirt.io/virtual-machine-unpaused", "status": "True"}
    found = by_type({**GATED, "status": {"conditions": [gate]}}, "Running", [state()])
    assert found["Ready"]["status"] == "True"


def test_waiting_containers_are_named() -> None:
    found = by_type({"spec": {}}, "Pending", [state(begun=False)])
    assert found["Ready"]["message"] == "containers with unready status: [compute]"
    assert found["Ready"]["reason"] == "ContainersNotReady"


def test_what_keeps_a_pod_from_its_sandbox_is_said_until_it_has_one() -> None:
    for sandbox, message in ((False, "failed to setup vlan tag"), (True, None)):
        found = conditions(
            {"spec": {}}, "Pending", [state(begun=False)], sandbox=sandbox, initialized=True,
            trouble="failed to setup vlan tag",
        )  # fmt: skip
        assert found[0]["type"] == "PodReadyToStartContainers"
        assert found[0]["message"] == message


def test_completed() -> None:
    found = by_type({"spec": {}}, "Succeeded", [state(exit=0)])
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "PodCompleted")


def test_transition_times_stay() -> None:
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "then"}
    found = by_type({"spec": {}, "status": {"conditions": [old]}}, "Running", [state()])
    assert found["Ready"]["lastTransitionTime"] == "then"


def test_container_entries() -> None:
    assert state(begun=False).entry()["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "running" in state().entry()["state"]
    ended = state(exit=2).entry()
    assert (ended["ready"], ended["state"]["terminated"]["exitCode"], ended["state"]["terminated"]["reason"]) == (
        False,
        2,
        "Error",
    )
