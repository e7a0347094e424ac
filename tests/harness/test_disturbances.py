"""Cancelled migrations, drains and migrations at the same time, as the harness makes them, against the lab's API server
and operators, whose nodes only pretend: no guest, no packets, but every object and refusal as in a lab."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.access.client import Client
from lab.access.kinds import NODE as NODE_KIND
from lab.access.kinds import VMI as VMI_KIND
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProductFailure, WaitHopeless
from lab.embedded.model.kinds import NAD, NAMESPACE, VM, VMI, VMIM
from lab.kubevirt import interrupt, migration
from lab.kubevirt.timeline import PRE_COPY
from tests.unit.operators.cluster import Cluster, cluster
from tests.unit.operators.operator_samples import nad, vm

Scene = Callable[[Cluster, Client], Awaitable[None]]
SECONDS = 15.0


def play(folder: Path, scene: Scene) -> None:
    """A cluster with three pretended workers and a VM that runs, and the harness' own client of it."""

    async def whole() -> None:
        async with cluster(folder) as lab:
            await lab.kube.create(NAMESPACE, {"metadata": {"name": "demo"}})
            await lab.kube.create(NAD, nad())
            for kind in (VM, VMI, VMIM):
                lab.informers.get(kind)
            path = folder / "kubeconfig"
            path.write_text(yaml.safe_dump(kubeconfig(lab)))
            await scene(lab, Client.connect(path))

    asyncio.run(whole())


def kubeconfig(lab: Cluster) -> dict[str, Any]:
    named = {"server": lab.server, "certificate-authority": str(lab.ca)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": named}],
        "users": [{"name": "u", "user": {"token": "admin"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "lab",
    }


async def running(lab: Cluster, name: str = "vm", **spec: Any) -> str:
    """A VM that runs; its node."""
    body = vm(name, "Always")
    for field in ("uid", "generation"):
        del body["metadata"][field]
    body["spec"]["template"]["spec"].update(spec)
    await lab.kube.create(VM, body)
    found = await lab.until(VMI, f"demo/{name}", lambda vmi: vmi["status"].get("phase") == "Running")
    return str(found["status"]["nodeName"])


def soon() -> Deadline:
    return Deadline.after(SECONDS)


def test_a_migration_is_cancelled_while_memory_is_sent_and_the_vm_stays(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        node = await running(lab)
        lab.nodes.hold_sending = True
        done = await asyncio.to_thread(interrupt.cancel, client, "demo", "vm", labels={"a": "b"}, deadline=soon())
        assert (done.node, done.phase, done.said) == (node, PRE_COPY, "Live migration has been aborted")
        assert [name for name, _ in done.timeline.moments][-1] == "done"
        after = await asyncio.to_thread(client.get, VMI_KIND, "vm", "demo")
        assert (after["status"]["nodeName"], after["status"]["migrationState"]["abortStatus"]) == (node, "Succeeded")

    play(tmp_path, scene)


def test_a_migration_that_was_over_before_it_was_cancelled_says_nothing_of_cancelling(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        await running(lab)
        lab.nodes.hold_sending = lab.nodes.deaf = True
        with pytest.raises(Inconclusive, match="had moved the guest before it could be cancelled"):
            await asyncio.to_thread(interrupt.cancel, client, "demo", "vm", labels={}, deadline=soon())

    play(tmp_path, scene)


def test_a_migration_that_failed_by_itself_was_not_cancelled(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        await running(lab)
        lab.nodes.fail_migration = "Live migration stuck for 150 seconds"
        with pytest.raises(WaitHopeless, match="stuck for 150 seconds"):
            await asyncio.to_thread(interrupt.cancel, client, "demo", "vm", labels={}, deadline=soon())

    play(tmp_path, scene)


def test_a_drain_moves_the_vm_and_the_worker_takes_pods_again(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        node = await running(lab)
        await asyncio.to_thread(interrupt.cordon, client, node, "r0")
        done = await asyncio.to_thread(interrupt.evict, client, "demo", "vm", deadline=soon())
        assert done.source == node
        assert done.target != node
        assert done.state["targetNode"] == done.target
        await asyncio.to_thread(interrupt.uncordon, client, node)
        assert "unschedulable" not in (await asyncio.to_thread(client.get, NODE_KIND, node))["spec"]

    play(tmp_path, scene)


def test_a_drain_that_would_kill_the_vm_is_a_failure_of_the_product(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        await running(lab, evictionStrategy="None")
        with pytest.raises(ProductFailure, match=r"(?s)to be refused.*it was allowed.*evictionStrategy"):
            await asyncio.to_thread(interrupt.evict, client, "demo", "vm", deadline=soon())

    play(tmp_path, scene)


def test_a_drain_whose_migration_fails_ends_with_the_platforms_reason(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        await running(lab)
        lab.nodes.fail_migration = "Live migration stuck for 150 seconds"
        with pytest.raises(WaitHopeless, match="stuck for 150 seconds"):
            await asyncio.to_thread(interrupt.evict, client, "demo", "vm", deadline=soon())

    play(tmp_path, scene)


def test_a_migration_tells_its_state_and_the_way_that_was_asked_for(tmp_path: Path) -> None:
    async def scene(lab: Cluster, client: Client) -> None:
        node = await running(lab)
        done = await asyncio.to_thread(lambda: migration.migrate(client, "demo", "vm", labels={}, deadline=soon()))
        assert done.state["mode"] == "PreCopy"
        assert done.state["sourcePod"].startswith("virt-launcher-vm-")
        assert done.state["migrationConfiguration"]["allowPostCopy"] is False
        assert (done.source, done.target) == (node, done.state["targetNode"])

    play(tmp_path, scene)
