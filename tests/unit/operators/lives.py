"""What tests of whole lives share: a namespace with an attachment, VMs in it, what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cluster import Cluster, cluster
from operator_samples import Obj, nad, vm

from lab.embedded.model.kinds import EVENT, NAD, NAMESPACE, NODE, POD, VM, VMI, VMIM
from lab.embedded.operators.objects import phase_of

Scene = Callable[[Cluster], Awaitable[None]]
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/demo"


def play(folder: Path, scene: Scene, **options: Any) -> None:
    async def whole() -> None:
        async with cluster(folder, **options) as lab:
            await lab.kube.create(NAMESPACE, {"metadata": {"name": "demo"}})
            await lab.kube.create(NAD, nad())
            for kind in (VM, VMI, VMIM, NODE):
                lab.informers.get(kind)
            await scene(lab)

    asyncio.run(whole())


def manifest(name: str = "vm", strategy: str = "Always", **spec: Any) -> Obj:
    found = vm(name, strategy)
    for field in ("uid", "generation"):
        del found["metadata"][field]
    found["spec"]["template"]["spec"].update(spec)
    return found


async def running(lab: Cluster, name: str = "vm", **spec: Any) -> Obj:
    await lab.kube.create(VM, manifest(name, **spec))
    return await lab.until(VMI, f"demo/{name}", lambda vmi: phase_of(vmi) == "Running")


async def migrate(lab: Cluster, name: str = "m", vmi: str = "vm") -> Obj:
    body = {"metadata": {"name": name, "namespace": "demo"}, "spec": {"vmiName": vmi}}
    return await lab.kube.create(VMIM, body)


async def launchers(lab: Cluster) -> list[Obj]:
    return await lab.kube.list(POD, "demo", labels="kubevirt.io=virt-launcher")


async def reasons(lab: Cluster, kind: str) -> set[str]:
    return {event["reason"] for event in await lab.kube.list(EVENT, "demo") if event["involvedObject"]["kind"] == kind}
