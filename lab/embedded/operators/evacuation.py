"""Evacuation: a VMI that must leave its node gets a migration.

A VMI must leave when `status.evacuationNodeName` names its node (set by the eviction webhook) or when the node carries
the drain taint. Rules: upstream pkg/virt-controller/watch/drain/evacuation.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NODE, VMI, VMIM
from lab.embedded.operators.migration_status import is_final
from lab.embedded.operators.names import EVACUATION
from lab.embedded.operators.objects import (
    Obj,
    age,
    annotations_of,
    clone,
    deleting,
    dig,
    has_condition,
    in_namespace,
    key_of,
    name_of,
    namespace_of,
    newest_first,
    phase_of,
)
from lab.embedded.operators.reconcile import Controller
from lab.embedded.operators.recorder import Recorder

BACKOFF_SECONDS = 20
BACKOFF_LIMIT_SECONDS = 600


class EvacuationController(Controller):
    """One key per VMI."""

    def __init__(self, kube: Kube, informers: Informers, recorder: Recorder, settings: Callable[[], Obj]) -> None:
        super().__init__("evacuation")
        self.kube, self.recorder, self.settings = kube, recorder, settings
        self.vmis, self.nodes, self.migrations = informers.get(VMI), informers.get(NODE), informers.get(VMIM)
        self.watch(self.vmis)
        self.watch(self.migrations, lambda entry: (f"{namespace_of(entry)}/{entry['spec'].get('vmiName', '')}",))
        self.watch(self.nodes, self._vmis_on)

    async def reconcile(self, key: str) -> float | None:
        vmi = self.vmis.items.get(key)
        if vmi is None or phase_of(vmi) != "Running" or deleting(vmi):
            return None
        asked, node = dig(vmi, "status", "evacuationNodeName"), dig(vmi, "status", "nodeName")
        if asked and asked != node:
            fresh = clone(vmi)
            del fresh["status"]["evacuationNodeName"]
            await self.kube.update(VMI, fresh)
            return None
        if not (asked or self._drained(str(node), vmi)):
            return None
        mine = [entry for entry in in_namespace(self.migrations.items, namespace_of(vmi)) if self._is_of(entry, vmi)]
        if any(not is_final(entry) for entry in mine):
            return None
        if not has_condition(vmi, "LiveMigratable"):
            self.recorder.warning(vmi, "Migrated", "VirtualMachineInstance is not live-migratable")
            return None
        wait = self._backoff(mine)
        if wait > 0:
            return wait
        await self._migrate(vmi, str(node))
        return None

    async def _migrate(self, vmi: Obj, node: str) -> None:
        body = {
            "metadata": {
                "generateName": "kubevirt-evacuation-",
                "namespace": namespace_of(vmi),
                "annotations": {EVACUATION: node},
            },
            "spec": {"vmiName": name_of(vmi)},
        }
        try:
            made = await self.kube.create(VMIM, body)
        except KubeError as error:
            self.recorder.warning(vmi, "FailedCreate", f"Error creating a Migration: {error.message}")
            raise
        self.recorder.normal(vmi, "SuccessfulCreate", f"Created Migration {name_of(made)}")
        await self.migrations.wait_for(lambda items: key_of(made) in items, timeout=10.0)

    def _drained(self, node: str, vmi: Obj) -> bool:
        key = self.settings()["nodeDrainTaintKey"]
        taints = dig(self.nodes.items.get(node), "spec", "taints", default=[])
        tainted = any(taint.get("key") == key and taint.get("effect") == "NoSchedule" for taint in taints)
        return tainted and dig(vmi, "spec", "evictionStrategy", default="") in ("LiveMigrate", "LiveMigrateIfPossible")

    def _backoff(self, migrations: list[Obj]) -> float:
        """Seconds to wait after evacuations that failed in a row: 20, 40, 80, ... each from the last one's end."""
        failed = 0
        ordered = newest_first(entry for entry in migrations if EVACUATION in annotations_of(entry))
        for entry in ordered:
            if phase_of(entry) != "Failed":
                break
            failed += 1
        if not failed:
            return 0.0
        stamps = dig(ordered[0], "status", "phaseTransitionTimestamps", default=[{}])
        since = age(stamps[-1].get("phaseTransitionTimestamp"))
        return max(0.0, min(BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS * 2.0 ** (failed - 1)) - since)

    def _is_of(self, migration: Obj, vmi: Obj) -> bool:
        return bool(migration["spec"].get("vmiName") == name_of(vmi))

    def _vmis_on(self, node: Obj) -> list[str]:
        if not dig(node, "spec", "taints"):
            return []
        return [key for key, vmi in self.vmis.items.items() if dig(vmi, "status", "nodeName") == name_of(node)]
