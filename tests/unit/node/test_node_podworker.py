"""What a new agent makes of pods whose processes died with the one before it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.embedded.errors import LabError
from lab.embedded.node.containers import Process
from lab.embedded.node.launcher import Launchers
from lab.embedded.node.podworker import PodWorker, Tools


@pytest.mark.parametrize(
    ("policy", "phase", "over", "then"),
    [
        ("Never", "Running", True, "Failed"),
        ("Never", "Succeeded", True, "Succeeded"),
        ("Never", "Pending", False, "Pending"),
        ("Always", "Running", False, "Pending"),
    ],
)
def test_one_that_is_never_started_again_has_failed(policy: str, phase: str, over: bool, then: str) -> None:
    tools = cast(Tools, SimpleNamespace(ctx=SimpleNamespace(node=SimpleNamespace(machine_ip="192.0.2.1"))))
    spec = {"restartPolicy": policy, "hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}
    worker = PodWorker(
        tools, {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec, "status": {"phase": phase}}
    )
    assert worker._already_over() is over
    assert worker.status()["phase"] == then


def test_a_killed_container_tells_its_signal() -> None:
    tools = cast(Tools, SimpleNamespace(ctx=SimpleNamespace(node=SimpleNamespace(machine_ip="192.0.2.1"))))
    spec = {"restartPolicy": "Never", "hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}
    meta = {"name": "p", "namespace": "n", "uid": "u"}
    worker = PodWorker(tools, {"metadata": meta, "spec": spec, "status": {"phase": "Running"}})
    worker._already_over()
    assert worker.status()["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_container_that_no_process_can_be_started_of_ends_in_words(tmp_path: Path) -> None:
    """A NUL in its command is no fault of the node's: the worker goes on, and the log says why."""

    async def event(*_words: object) -> None:
        pass

    node = SimpleNamespace(machine_ip="192.0.2.1", name="n")
    kube = SimpleNamespace(event=event)
    ctx = SimpleNamespace(node=node, kube=kube, rundir=tmp_path)
    tools = cast(Tools, SimpleNamespace(ctx=ctx, path=os.environ["PATH"]))
    container = {"name": "c", "image": "i", "command": ["a\0b"]}
    spec = {"restartPolicy": "Never", "hostNetwork": True, "containers": [container]}
    worker = PodWorker(tools, {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})

    async def refused(*_given: object) -> int:
        await asyncio.create_subprocess_exec(*container["command"])
        return 0

    worker._once = refused  # type: ignore[method-assign]
    (state,) = worker.states
    worker.folder.mkdir(parents=True)
    asyncio.run(worker._supervise(state))
    assert worker.status()["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 128
    assert "null byte" in worker.log_file("c").path.read_text()


VM = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "1"}


@pytest.mark.parametrize(("labels", "at"), [(VM, "Created"), ({}, "Created"), ({}, "start")])
def test_one_that_is_deleted_while_it_is_made_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: dict[str, str], at: str
) -> None:
    """Its containers are asked to stop once: what came after that would run for ever."""
    meta = {"name": "p", "namespace": "n", "uid": "u", "labels": labels}
    containers = [{"name": "compute", "image": "i", "command": ["sleep", "60"]}, {"name": "console-log", "image": "i"}]
    pod = {
        "metadata": meta,
        "spec": {"restartPolicy": "Never", "hostNetwork": True, "containers": containers[: len(labels) or 1]},
    }

    async def asked_to_end() -> None:
        worker.update({**pod, "metadata": {**meta, "deletionTimestamp": "now", "deletionGracePeriodSeconds": 0}})
        await asyncio.sleep(0.05)

    async def event(_pod: object, _type: str, reason: str, *_more: object) -> None:
        if reason == at:
            await asked_to_end()

    async def quiet(*_given: object, **_more: object) -> None:
        pass

    start = Process.start

    async def slowly(*given: Any, **more: Any) -> Process:
        process = await start(*given, **more)
        if at == "start":
            await asked_to_end()
        return process

    monkeypatch.setattr(Process, "start", slowly)
    kube = SimpleNamespace(event=event, patch=quiet, delete=quiet)
    ctx = SimpleNamespace(node=SimpleNamespace(machine_ip="192.0.2.1", name="n"), kube=kube, rundir=tmp_path)
    tools = cast(Tools, SimpleNamespace(ctx=ctx, path=os.environ["PATH"], launchers=Launchers()))

    async def scene() -> None:
        nonlocal worker
        worker = PodWorker(tools, pod)
        worker.folder.mkdir(parents=True)
        async with asyncio.timeout(5):
            await worker.run()

    worker = cast(PodWorker, None)
    asyncio.run(scene())
    assert not any(state.running for state in worker.states)


@pytest.mark.parametrize("failures", [0, 2, 9])
def test_a_switch_that_does_not_answer_at_once_is_asked_again(failures: int, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[str] = []

    async def delete(uid: str) -> None:
        tried.append(uid)
        if len(tried) <= failures:
            raise LabError("wanted `ovs-vsctl` to succeed", "did not end within 15 s")

    tools = cast(Tools, SimpleNamespace(cni=SimpleNamespace(delete=delete), launchers=Launchers()))
    spec = {"restartPolicy": "Never", "containers": []}
    worker = PodWorker(tools, {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})
    asyncio.run(worker._teardown())
    assert tried == ["u"] * min(failures + 1, 3)
    said = [record.message for record in caplog.records]
    assert len(said) == min(failures, 3)
    assert [line.endswith("and what it had stays") for line in said] == [False, False, True][: len(said)]
