"""Owner references: background, foreground, orphans, owners that are gone already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.embedded.kube import Informer, Informers
from lab.embedded.model.kinds import CONFIGMAP, NNCE, NODE, POD

from .servers import cluster, run


def owned(name: str, *owners: dict[str, Any], block: bool = False) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": references}}


async def names(informer: Informer, *wanted: str) -> None:
    keys = {f"default/{name}" for name in (*wanted, "kube-root-ca.crt")}
    await informer.wait_for(lambda items: set(items) == keys, 5)


def test_dependents_go_with_their_last_owner(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki):
            informers = Informers(kube)
            maps = informers.get(CONFIGMAP, namespace="default")
            await informers.start()
            first = await kube.create(CONFIGMAP, {"metadata": {"name": "first", "namespace": "default"}})
            second = await kube.create(CONFIGMAP, {"metadata": {"name": "second", "namespace": "default"}})
            middle = await kube.create(CONFIGMAP, owned("middle", first, second))
            await kube.create(CONFIGMAP, owned("leaf", middle))
            await kube.delete(CONFIGMAP, "first", "default")
            await names(maps, "second", "middle", "leaf")
            await kube.delete(CONFIGMAP, "second", "default", propagation="Background")
            await names(maps)
            await kube.create(CONFIGMAP, owned("late", second))
            await names(maps)
            await informers.close()

    run(case())


def test_foreground_waits_for_blocking_dependents(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki):
            informers = Informers(kube)
            maps = informers.get(CONFIGMAP, namespace="default")
            await informers.start()
            owner = await kube.create(CONFIGMAP, {"metadata": {"name": "owner", "namespace": "default"}})
            child = owned("child", owner, block=True)
            child["metadata"]["finalizers"] = ["virtlab.dev/held"]
            await kube.create(CONFIGMAP, child)
            await kube.delete(CONFIGMAP, "owner", "default", propagation="Foreground")
            await maps.wait_for(lambda items: "deletionTimestamp" in items["default/child"]["metadata"], 5)
            held = await kube.get(CONFIGMAP, "owner", "default")
            assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
            await kube.patch(CONFIGMAP, "child", "default", {"metadata": {"finalizers": None}})
            await names(maps)
            await informers.close()

    run(case())


def test_orphans_stay(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki):
            informers = Informers(kube)
            maps = informers.get(CONFIGMAP, namespace="default")
            await informers.start()
            owner = await kube.create(CONFIGMAP, {"metadata": {"name": "owner", "namespace": "default"}})
            await kube.create(CONFIGMAP, owned("child", owner))
            await kube.delete(CONFIGMAP, "owner", "default", propagation="Orphan")
            await names(maps, "child")
            assert "ownerReferences" not in (await kube.get(CONFIGMAP, "child", "default"))["metadata"]
            await informers.close()

    run(case())


def test_cluster_scoped_owner_and_pod_of_a_node(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki):
            node = await kube.create(NODE, {"metadata": {"name": "n"}})
            enactment = owned("n.policy", node)
            del enactment["metadata"]["namespace"]
            informers = Informers(kube)
            enactments = informers.get(NNCE)
            await informers.start()
            await kube.create(NNCE, enactment)
            await enactments.wait_for(lambda items: "n.policy" in items, 5)
            await kube.delete(NODE, "n")
            await enactments.wait_for(lambda items: not items, 5)
            assert await kube.list(POD) == []
            await informers.close()

    run(case())
