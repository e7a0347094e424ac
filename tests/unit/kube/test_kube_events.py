"""Events that repeat are counted: one object per thing said, as client-go's recorder keeps them."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.embedded.kube import Kube, KubeError, events
from lab.embedded.kube.client import Obj, PatchType
from lab.embedded.model.kinds import Kind

POD: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "u1"}}


class Store(Kube):
    """A client whose server is a dictionary of events."""

    def __init__(self) -> None:
        super().__init__("http://unused", token="t", ca=None, user_agent="ua", host="worker-1")
        self.stored: dict[str, Obj] = {}

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        self.stored[obj["metadata"]["name"]] = obj
        return obj

    async def patch(
        self, kind: Kind, name: str, namespace: str | None, body: Any, *, type: PatchType = "merge", **_: Any
    ) -> Obj:
        if name not in self.stored:
            raise KubeError(404, "NotFound", "gone", {})
        self.stored[name] |= body
        return self.stored[name]


def record(kube: Kube, *messages: str, pod: Obj = POD) -> None:
    async def case() -> None:
        for message in messages:
            await kube.event(pod, "Warning", "FailedCreatePodSandBox", message, "kubelet")

    asyncio.run(case())


def test_the_same_said_again_is_counted_and_another_thing_is_another_event() -> None:
    kube = Store()
    record(kube, "no NAD", "no NAD", "no mapping", "no NAD")
    assert [(e["message"], e["count"]) for e in kube.stored.values()] == [("no NAD", 3), ("no mapping", 1)]
    [first, _] = kube.stored.values()
    assert first["lastTimestamp"] >= first["firstTimestamp"]
    assert first["source"] == {"component": "kubelet", "host": "worker-1"}
    assert first["involvedObject"]["uid"] == "u1"


def test_the_same_of_another_object_of_that_name_is_another_event() -> None:
    kube = Store()
    record(kube, "no NAD")
    record(kube, "no NAD", pod={**POD, "metadata": {**POD["metadata"], "uid": "u2"}})
    assert [e["count"] for e in kube.stored.values()] == [1, 1]


def test_an_event_that_is_gone_is_made_again_with_its_count() -> None:
    kube = Store()
    record(kube, "no NAD")
    kube.stored.clear()
    record(kube, "no NAD")
    assert [(e["message"], e["count"]) for e in kube.stored.values()] == [("no NAD", 2)]


def test_memory_of_events_is_bounded() -> None:
    repeats = events.Repeats()
    for number in range(events.REMEMBERED + 1):
        repeats.note(events.body(POD, "Normal", "R", str(number), "c", ""))
    assert repeats.note(events.body(POD, "Normal", "R", "0", "c", ""))[1] == 1
    assert repeats.note(events.body(POD, "Normal", "R", "5", "c", ""))[1] == 2
