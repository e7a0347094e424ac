"""A migration that Succeeded: its instance may be read as it was before, and has some seconds to be as it must."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lab.access.client import Client
from lab.core.errors import ProductFailure
from lab.kubevirt import migration

VMIM = {"metadata": {"name": "m", "namespace": "demo", "uid": "u1"}}
DONE = {key: "now" for key, _ in migration.CHECKS} | {"migrationUid": "u1", "targetNode": "w2"}


def vmi(node: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"phase": "Running", "nodeName": node, "migrationState": state}}


class Watch:
    """What a watch hands out: *states* in turn, one for each look."""

    def __init__(self, states: list[dict[str, Any]]) -> None:
        self.states = states

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, seconds: float) -> None:
        return None

    def one(self) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


class Cluster:
    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)

    def watch(self, kind: object, name: str, namespace: str, *, signal: Any) -> Watch:
        assert (name, namespace) == ("vm-a", "demo")
        signal.notify()
        return Watch(self.states)


def arrived(*states: dict[str, Any]) -> dict[str, Any]:
    return migration.arrived(cast(Client, Cluster(*states)), VMIM, "vm-a", "w1")


def test_an_instance_that_is_read_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "REPORT_S", 2.0)
    late, there = vmi("w1", {"migrationUid": "u1", "targetNode": "w2"}), vmi("w2", DONE)
    assert arrived(late, there) == there


def test_an_instance_that_stays_as_it_was_is_a_failure_with_all_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "REPORT_S", 0.1)
    with pytest.raises(ProductFailure) as failed:
        arrived(vmi("w1", DONE))
    assert failed.value.found == "source w1, target w2, but the instance is on w1"
    assert failed.value.where == "VirtualMachineInstanceMigration demo/m"
