"""The moment of the switch: stamps the target pod as soon as the guest runs there.

OVN-Kubernetes moves the VM's port (target on, source off) when the target pod gets this annotation, so every
millisecond here is lost traffic. That is why it is a controller of its own and not a phase of the migration's.
Upstream: migration.go, MigrationTargetReadyTimestamp.
"""

from __future__ import annotations

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import POD, VMI
from lab.embedded.operators.names import TARGET_READY
from lab.embedded.operators.objects import annotations_of, dig, namespace_of, parse_time
from lab.embedded.operators.reconcile import Controller


def go_time(stamp: str) -> str:
    """Go's Time.String() in UTC: `2026-08-22 10:34:54 +0000 UTC`."""
    return parse_time(stamp).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


class ReadyStamp(Controller):
    """One key per VMI."""

    def __init__(self, kube: Kube, informers: Informers) -> None:
        super().__init__("handover")
        self.kube = kube
        self.vmis, self.pods = informers.get(VMI), informers.get(POD)
        self.watch(self.vmis)

    async def reconcile(self, key: str) -> float | None:
        vmi = self.vmis.items.get(key)
        state = dig(vmi, "status", "migrationState", default={})
        stamp, target = state.get("targetNodeDomainReadyTimestamp"), state.get("targetPod")
        if vmi is None or not stamp or not target or state.get("failed"):
            return None
        pod = self.pods.items.get(f"{namespace_of(vmi)}/{target}")
        if pod is None or TARGET_READY in annotations_of(pod):
            return None
        try:
            body = {"metadata": {"annotations": {TARGET_READY: go_time(stamp)}}}
            await self.kube.patch(POD, target, namespace_of(vmi), body)
        except KubeError as error:
            if not error.not_found:
                raise
        return None
