"""The handler's triggers: what makes it reconcile, in which order, and how the node's state gets published."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nmstate_fakeapi import FakeApi, cluster, nncp

from lab.embedded.kube import Informers, Kube
from lab.embedded.node.context import NodeContext
from lab.embedded.node.nmstate.apply import Outcome
from lab.embedded.node.nmstate.handler import NmstateHandler, Queue
from lab.embedded.node.nmstate.settings import REFRESH_LABEL, Settings

PLURAL, ENACTMENTS, STATES = (
    "nodenetworkconfigurationpolicies",
    "nodenetworkconfigurationenactments",
    "nodenetworkstates",
)


class FakeNode:
    """A node whose network is one number."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.reads = 0
        self.changed = asyncio.Condition()

    async def apply(self, document: dict[str, Any], probes: object = None) -> Outcome:
        self.applied.append(str(document.get("mark")))
        return Outcome(("changed",))

    async def show(self) -> dict[str, Any]:
        self.reads += 1
        return {"interfaces": [], "applied": list(self.applied)}


async def until(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not predicate():  # noqa: ASYNC110  another task's work is looked at through a real socket
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def handler(api: FakeApi, kube: Kube) -> Any:
    node = FakeNode()
    informers = Informers(kube)
    ctx = SimpleNamespace(
        node=SimpleNamespace(name="w1", nics=()), kube=kube, informers=informers, ovs=None, rundir=Path("/nonexistent")
    )
    component = NmstateHandler(cast(NodeContext, ctx))
    component.node.apply = node.apply  # type: ignore[method-assign,assignment]
    component.state.read = node.show
    await informers.start()
    task = asyncio.create_task(component.run())
    try:
        yield node
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await informers.close()


def marked(name: str, mark: str, **spec: Any) -> dict[str, Any]:
    return nncp(name, desiredState={"mark": mark}, **spec)


def test_policies_are_applied_at_start_on_change_and_when_labels_change() -> None:
    async def test() -> None:
        api = FakeApi()
        cluster(api, "w1")
        api.put(PLURAL, marked("a", "a1"))
        api.put(PLURAL, marked("b", "b1", nodeSelector={"zone": "x"}))
        async with api.client() as kube, handler(api, kube) as node:
            await until(lambda: node.applied == ["a1"])
            api.put(PLURAL, {**api.objects[(PLURAL, "a")], "spec": {"desiredState": {"mark": "a2"}}})
            await until(lambda: node.applied == ["a1", "a2"])
            await until(lambda: api.conditions(PLURAL, "a")["Available"][0] == "True")
            status_only = {**api.objects[(PLURAL, "a")]}
            api.put(PLURAL, status_only)
            worker = api.objects[("nodes", "w1")]
            worker["metadata"]["labels"]["kubevirt.io/schedulable"] = "false"
            api.put("nodes", worker)
            api.put(PLURAL, marked("c", "c1", nodeSelector={"zone": "y"}))
            judged = {"Ignored": ("True", "NoMatchingNode", "Policy does not match any node")}
            await until(lambda: judged.items() <= api.conditions(PLURAL, "c").items())
            assert node.applied == ["a1", "a2"], "KubeVirt's label is none of a policy's business"
            worker["metadata"]["labels"]["zone"] = "x"
            api.put("nodes", worker)
            await until(lambda: node.applied == ["a1", "a2", "a2", "b1"])
            await until(lambda: (ENACTMENTS, "w1.b") in api.objects)
            api.remove(PLURAL, "b")
            await until(lambda: (ENACTMENTS, "w1.b") not in api.objects)

    asyncio.run(test())


def test_node_state_is_published_when_it_changed_and_on_the_label() -> None:
    async def test() -> None:
        api = FakeApi()
        cluster(api, "w1")
        async with api.client() as kube, handler(api, kube) as node:
            await until(lambda: "status" in api.objects.get((STATES, "w1"), {}))
            published = api.objects[(STATES, "w1")]
            assert published["metadata"]["ownerReferences"][0]["kind"] == "Node"
            assert published["status"]["currentState"] == {"interfaces": [], "applied": []}
            api.put(PLURAL, marked("a", "a1"))
            await until(lambda: api.objects[(STATES, "w1")]["status"]["currentState"]["applied"] == ["a1"])
            version = api.objects[(STATES, "w1")]["metadata"]["resourceVersion"]
            reads = node.reads
            await kube.raw("PATCH", f"/apis/nmstate.io/v1beta1/{STATES}/w1",
                           body={"metadata": {"labels": {REFRESH_LABEL: "now"}}})  # fmt: skip
            await until(lambda: node.reads > reads)
            after = int(api.objects[(STATES, "w1")]["metadata"]["resourceVersion"])
            assert after > int(version), "the label itself"
            writes = [o for p, o in api.history if p == STATES and int(o["metadata"]["resourceVersion"]) > after]
            assert not writes, "an unchanged state is not written again"
            api.remove(STATES, "w1")
            await until(lambda: "status" in api.objects.get((STATES, "w1"), {}))

    asyncio.run(test())


def test_queue_holds_a_name_once_and_doubles_its_delay() -> None:
    async def test() -> None:
        delays: list[int] = []

        def backoff(failures: int) -> float:
            delays.append(failures)
            return 60.0

        queue = Queue(backoff)
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        queue.add_later("a")
        queue.add_later("a")
        queue.hurry("b")
        queue.hurry("a")
        assert await queue.get() == "a"
        queue.add_later("a")
        assert delays == [1, 3]
        queue.forget("a")
        queue.close()

    asyncio.run(test())


@pytest.mark.parametrize(("failures", "delay"), [(1, 1), (2, 2), (5, 16), (6, 30), (60, 30)])
def test_backoff(failures: int, delay: float) -> None:
    assert Settings().backoff(failures) == delay


def test_settings_come_from_the_environment() -> None:
    env = {"VIRTLAB_NMSTATE_MAX_RETRIES": "2", "NNCP_MAX_BACKOFF": "4", "VIRTLAB_NMSTATE_PROBE_SECONDS": "15",
           "NNCP_INITIAL_BACKOFF_SECONDS": "nonsense"}  # fmt: skip
    settings = Settings.from_environment(env)
    assert (settings.max_retries, settings.max_backoff, settings.probe_seconds, settings.initial_backoff) == (
        2,
        4,
        15,
        1,
    )
