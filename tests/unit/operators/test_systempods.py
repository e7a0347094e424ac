"""The operators' own pods: one of each sort on a node that is alive, and no haste when one falls silent."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from operator_samples import Obj

from lab.embedded.kube import Informers, Kube
from lab.embedded.model.kinds import POD
from lab.embedded.operators.placement import UNREACHABLE, untolerated
from lab.embedded.operators.systempods import PATIENCE_S, SystemPods, system_pods


class Played:
    """Pods and nodes, and what is done to the pods."""

    def __init__(self, nodes: dict[str, Obj]) -> None:
        self.pods: dict[str, Obj] = {}
        self.done: list[str] = []
        self.informers = SimpleNamespace(
            get=lambda kind: SimpleNamespace(
                items=self.pods if kind is POD else nodes, subscribe=lambda *_a, **_k: None, wait_for=self._waited
            )
        )

    async def _waited(self, *_given: object) -> None:
        pass

    async def create(self, _kind: object, wanted: Obj) -> Obj:
        made = copy.deepcopy(wanted)
        made["metadata"] |= {"name": f"new-{len(self.done)}", "uid": f"new-{len(self.done)}"}
        self.done.append("made")
        self.pods[made["metadata"]["name"]] = made
        return made

    async def delete(self, _kind: object, name: str, _namespace: str, **_more: object) -> None:
        self.done.append(f"deleted {name}")
        del self.pods[name]


def node(ready: str, ago_s: float) -> Obj:
    stamp = (datetime.now(UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": "w1"},
        "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": stamp}]},
    }


def reconciled(nodes: dict[str, Obj], where: str = "w1") -> tuple[list[str], float | None]:
    wanted = system_pods("v1.8.0", None)
    played = Played(nodes)
    pod: Any = copy.deepcopy(wanted["virt-api"])
    pod["metadata"] |= {"name": "old", "uid": "old"}
    pod["spec"]["nodeName"] = where
    pod["status"] = {"phase": "Running"}
    played.pods["old"] = pod
    controller = SystemPods(cast(Kube, played), cast(Informers, played.informers), wanted)
    again = asyncio.run(controller.reconcile("virt-api"))
    return played.done, again


def test_one_on_a_node_that_is_alive_stays() -> None:
    assert reconciled({"w1": node("True", 500)}) == ([], None)


def test_one_on_a_silent_node_waits_for_it_to_speak_and_is_then_made_anew() -> None:
    done, again = reconciled({"w1": node("Unknown", 10)})
    assert done == []
    assert again == pytest.approx(PATIENCE_S - 10, abs=2)
    assert reconciled({"w1": node("Unknown", PATIENCE_S + 2)})[0] == ["deleted old", "made"]


def test_one_whose_node_is_gone_is_made_anew_at_once() -> None:
    assert reconciled({})[0] == ["deleted old", "made"]


def test_none_tolerates_a_node_that_it_would_be_taken_from_again() -> None:
    """It would be made there and deleted, a hundred times a second, until the node speaks."""
    taint = {"key": UNREACHABLE, "effect": "NoSchedule"}
    assert all(untolerated(pod, [taint]) for pod in system_pods("v1.8.0", Path("log")).values())
