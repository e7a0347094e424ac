"""Debug pods of a feature: each scenario gets shells that answer, also when a node went down in the one before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from lab.access.kinds import POD, Kind, Obj
from lab.core.undo import UndoStack
from lab.topology.clean import _one_each
from lab.topology.debugpods import DebugPods
from lab.topology.site import Site

TEMPLATE = yaml.safe_load((Path(__file__).parents[3] / "features/nmcli/manifests/debug-pod.yaml").read_text())


class Client:
    """Keeps what is made; a pod runs at once."""

    def __init__(self) -> None:
        self.pods: dict[str, Obj] = {}

    def create(self, obj: Obj, **_: Any) -> Obj:
        if obj["kind"] == "Pod":
            self.pods[obj["metadata"]["name"]] = {**obj, "status": {"phase": "Running"}}
        return obj

    def list(self, kind: Kind, namespace: str, **_: Any) -> list[Obj]:
        assert kind == POD
        return list(self.pods.values())

    def wait_for(self, *_: Any, **__: Any) -> None:
        return


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of the pods that were waited for, each time."""
    found: list[list[str]] = []
    monkeypatch.setattr("lab.topology.pods.wait_running", lambda _, __, names, **___: found.append(list(names)))
    return found


def test_a_scenario_after_a_node_went_down_gets_another_pod_there(awaited: list[list[str]]) -> None:
    client = Client()
    target = SimpleNamespace(pod_image="busybox")
    site = SimpleNamespace(
        client=client, undo=UndoStack(), target=target, run_id="r1", feature="nmcli", workers=["w1", "w2", "w3"]
    )
    made = DebugPods(cast(Site, site), TEMPLATE)
    first, _ = made.on(["w1", "w2"])
    client.pods["w1-debug"]["status"] = {"phase": "Failed"}
    again, other = made.on(["w1", "w3"])
    assert again is first
    assert again.name.startswith("w1-debug-")
    assert client.pods[again.name]["spec"]["nodeName"] == "w1"
    assert other.name == "w3-debug"
    assert awaited == [["w1-debug", "w2-debug"], ["w3-debug"]], "the pod that ended is not waited for"


def test_clean_asks_each_node_once_by_a_pod_that_runs_if_there_is_one() -> None:
    told = [
        ("a", "w1", "Running"),
        ("b", "w1", "Failed"),
        ("c", "w2", "Failed"),
        ("d", "w3", "Pending"),
        ("e", "w4", ""),
    ]
    pods = [{"metadata": {"name": n}, "spec": {"nodeName": w}, "status": {"phase": p}} for n, w, p in told]
    assert sorted(pod["metadata"]["name"] for pod in _one_each(pods)) == ["a", "c"]
