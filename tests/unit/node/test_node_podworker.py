"""What a new agent makes of pods whose processes died with the one before it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

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
