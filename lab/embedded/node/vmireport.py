"""What this node tells the API about its guests: phases, interfaces, conditions, events.

Everything written here was seen: QEMU answered, the agent answered, the pod has the interface.
"""

from __future__ import annotations

import logging
from typing import Any

from lab.embedded.node import media
from lab.embedded.node import vmistatus as rules
from lab.embedded.node.context import NodeContext
from lab.embedded.node.guest import Guest
from lab.embedded.node.names import now
from lab.embedded.node.vmiwriter import change

log = logging.getLogger(__name__)
Obj = dict[str, Any]
COMPONENT = "virt-handler"
SYNC_FAILED = "Synchronizing with the Domain failed."


class Reporter:
    """Writes VMI.status for one node."""

    def __init__(self, ctx: NodeContext) -> None:
        self.ctx = ctx

    async def started(self, vmi: Obj, guest: Guest) -> None:
        """A fresh guest runs."""
        await self.running(vmi, guest)
        await self.event(vmi, "Normal", "Created", "VirtualMachineInstance defined.")
        await self.event(vmi, "Normal", "Started", "VirtualMachineInstance started.")
        for volume in vmi["spec"].get("volumes") or []:
            image = volume.get("containerDisk", {}).get("image")
            if image:
                text = f"volume {volume['name']}: {image} stands for the lab's built-in guest"
                await self.event(vmi, "Normal", "BuiltInGuest", text)

    async def running(self, vmi: Obj, guest: Guest) -> None:
        """Bring the status of a running guest up to date."""
        disks = rules.not_shared(vmi, await media.access_modes(self.ctx.kube, vmi))

        def edit(current: Obj) -> None:
            status = current.setdefault("status", {})
            if status.get("phase") in rules.FINAL or status.get("nodeName") != self.ctx.node.name:
                return
            rules.move_to(status, "Running")
            self._describe(current, status, guest)
            self._judge(current, status.setdefault("conditions", []), guest, disks)

        await change(self.ctx.kube, vmi, edit)
        if guest.fresh and guest.view.notes:
            guest.fresh = False
            text = "; ".join(guest.view.notes)
            await self.event(vmi, "Warning", "BuiltInGuest", f"of its cloud-init data the built-in guest says: {text}")

    def _describe(self, vmi: Obj, status: Obj, guest: Guest) -> None:
        status.update(rules.about_domain(vmi, guest.domain, guest.machine))
        status["guestOSInfo"] = guest.view.os
        launcher = guest.launcher
        pod_ips = {a.ifname: launcher.addresses(a.ifname) for a in launcher.attachments if a.held}
        multus = [attachment.ifname for attachment in launcher.attachments if not attachment.default]
        status["interfaces"] = rules.interfaces(list(guest.nics.values()), guest.view.interfaces, pod_ips, multus)

    def _judge(self, vmi: Obj, conditions: list[Obj], guest: Guest, disks: list[str]) -> None:
        live = rules.live_migratable(vmi, disks, self.ctx.kubevirt)
        rules.put(conditions, live)
        if self.ctx.kubevirt.judges_storage_alone:
            rules.put(conditions, rules.storage_live_migratable(live))
        if guest.view.connected:
            rules.put(conditions, {**rules.condition("AgentConnected", "True", stamped=False), "lastProbeTime": now()})
        else:
            rules.drop(conditions, "AgentConnected")
        if guest.paused:
            rules.put(conditions, rules.condition("Paused", "True", "PausedByUser", "VMI was paused by user"))
        else:
            rules.drop(conditions, "Paused")
        rules.drop(conditions, "Synchronized")

    async def sync_failed(self, vmi: Obj, message: str) -> None:
        """The guest cannot be started yet; it is tried again."""

        def edit(current: Obj) -> None:
            conditions = current.setdefault("status", {}).setdefault("conditions", [])
            rules.put(conditions, rules.condition("Synchronized", "False", SYNC_FAILED, message))

        known = vmi.get("status", {}).get("conditions") or []
        if not any(c.get("type") == "Synchronized" and c.get("message") == message for c in known):
            await self.event(vmi, "Warning", "SyncFailed", f"server error. command SyncVMI failed: {message}")
        await change(self.ctx.kube, vmi, edit)

    async def final(self, vmi: Obj, phase: str, message: str) -> None:
        """The guest is no more."""

        def edit(current: Obj) -> None:
            status = current.setdefault("status", {})
            if status.get("phase") not in rules.FINAL:
                rules.move_to(status, phase)
            rules.drop(status.setdefault("conditions", []), "AgentConnected")

        stored = await change(self.ctx.kube, vmi, edit)
        if stored is not None:
            await self.event(stored, "Normal" if phase == "Succeeded" else "Warning", "Stopped", message)

    async def event(self, vmi: Obj, type: str, reason: str, message: str) -> None:
        await self.ctx.kube.event(vmi, type, reason, message, COMPONENT)
