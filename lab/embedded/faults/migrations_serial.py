"""KubeVirt: one migration at a time in the whole cluster, by its own configuration. Nothing fails, all of it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site
from lab.embedded.model.kinds import KUBEVIRT

KEY = "parallelMigrationsPerCluster"


class MigrationsSerial:
    """`spec.configuration.migrations.parallelMigrationsPerCluster: 1` of the KubeVirt CR."""

    name = "migrations-serial"
    layer = "kubevirt"
    summary = "KubeVirt makes one migration at a time in the whole cluster"
    parameters: Mapping[str, str] = {}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        async with site.kube() as kube:
            (cr,) = await kube.list(KUBEVIRT)
            before = _limit(cr)
            await self._set(kube, cr, 1)
        return {"before": before}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        async with site.kube() as kube:
            (cr,) = await kube.list(KUBEVIRT)
            await self._set(kube, cr, saved["before"])

    async def _set(self, kube: Any, cr: Mapping[str, Any], limit: int | None) -> None:
        name, namespace = cr["metadata"]["name"], cr["metadata"]["namespace"]
        change = {"spec": {"configuration": {"migrations": {KEY: limit}}}}
        await kube.patch(KUBEVIRT, name, namespace, change)
        if (found := _limit(await kube.get(KUBEVIRT, name, namespace))) != limit:
            raise FaultError(f"wanted {KEY} to be {limit}", f"the KubeVirt CR says {found}")


def _limit(cr: Mapping[str, Any]) -> int | None:
    migrations = ((cr.get("spec") or {}).get("configuration") or {}).get("migrations") or {}
    found = migrations.get(KEY)
    return None if found is None else int(found)
