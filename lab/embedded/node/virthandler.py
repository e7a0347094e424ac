"""virt-handler of one node: VMIs that are, or are to be, on this node become QEMU guests and the other way round.

One worker per VMI looks at three things: the VMI, the launcher pod's sandbox, the guest here; whatever of them
changed, it looks at all of them again.  What lasts (a migration, a shutdown) runs beside the worker so that
its cancellation is still seen.  Phases up to Scheduled, pods and migration objects are virt-controller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.embedded.errors import LabError
from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import POD, VMI
from lab.embedded.node import handover, media
from lab.embedded.node.context import NodeContext
from lab.embedded.node.domain import Host, domain_of
from lab.embedded.node.guest import Guest
from lab.embedded.node.launcher import Launcher, Launchers
from lab.embedded.node.migration import Progress
from lab.embedded.node.qemu import QemuFailed, kill_leftovers
from lab.embedded.node.virtroutes import VirtRoutes
from lab.embedded.node.vmireport import Reporter
from lab.embedded.node.vmistatus import FINAL, migrating

log = logging.getLogger(__name__)
Obj = dict[str, Any]
COMPONENT = "virt-handler"
RETRY_SECONDS = 3.0
GRACE_SECONDS = 30


class VirtHandler:
    """Runs the guests of one node."""

    def __init__(self, ctx: NodeContext, launchers: Launchers) -> None:
        self.ctx, self.launchers = ctx, launchers
        self.vmis = ctx.informers.get(VMI)
        ctx.informers.get(POD)
        self.guests: dict[str, Guest] = {}
        """By UID of the VMI."""
        self.host = Host(
            ctx.kernel,
            ctx.initrd,
            accel=os.environ.get("VIRTLAB_ACCEL", "tcg,tb-size=64"),
            data_dirs=tuple(part for part in os.environ.get("VIRTLAB_QEMU_DATA", "").split(":") if part),
        )
        self.folder = ctx.rundir / "guests"
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._report = Reporter(ctx)

    def routes(self) -> list[web.RouteDef]:
        """Console, guest agent and pause of the guests here."""
        return VirtRoutes(self.vmis, self.guests).routes()

    async def run(self) -> None:
        """Serve until cancelled; then no guest is left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in kill_leftovers(self.folder):
            log.warning("ended the guest of an earlier agent in %s", name)
        self.vmis.subscribe(lambda _change, vmi: self._touch(vmi["metadata"]["uid"], vmi))
        self.launchers.subscribe(lambda launcher: self._touch(launcher.vmi_uid))
        try:
            await asyncio.Event().wait()
        finally:
            for worker in self._workers.values():
                worker.cancel()
            await asyncio.gather(*(guest.close() for guest in self.guests.values()), return_exceptions=True)

    def _concerns(self, vmi: Obj) -> bool:
        here = self.ctx.node.name
        state = vmi.get("status", {}).get("migrationState") or {}
        return here in (vmi.get("status", {}).get("nodeName"), state.get("targetNode"))

    def _touch(self, uid: str, vmi: Obj | None = None) -> None:
        """Let the VMI's worker look again."""
        if uid not in self._workers:
            if vmi is not None and not self._concerns(vmi) and uid not in self.guests:
                return
            self._wake[uid] = asyncio.Event()
            self._workers[uid] = asyncio.create_task(self._work(uid), name=f"vmi {uid}")
        self._wake[uid].set()

    def _find(self, uid: str) -> Obj | None:
        return next((vmi for vmi in self.vmis.items.values() if vmi["metadata"]["uid"] == uid), None)

    async def _work(self, uid: str) -> None:
        wake, known = self._wake[uid], False
        while True:
            wake.clear()
            again = False
            vmi = self._find(uid)
            # A launcher alone proves nothing: whose it is says a label, which anybody may write.
            known = known or vmi is not None
            try:
                again = await self._look(uid, vmi)
            except (KubeError, LabError, OSError) as error:
                log.warning("VMI %s: %s", uid, error)
                again = True
            except Exception:
                log.exception("VMI %s", uid)
                again = True
            if vmi is None and uid not in self.guests and not wake.is_set():
                if known:
                    media.forget(self.ctx.state / "guests" / uid)
                del self._workers[uid], self._wake[uid]
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if again else None):
                    await wake.wait()

    async def _look(self, uid: str, vmi: Obj | None) -> bool:
        """One look; True when another is due without a change."""
        guest = self.guests.get(uid)
        here = self.ctx.node.name
        for launcher in self.launchers.of(uid):
            if launcher.stopping.is_set() and (guest is None or guest.launcher is not launcher):
                launcher.end(0)
        if vmi is None:
            await self._discard(uid)
            return False
        if guest is not None:
            guest.vmi = vmi
        if vmi.get("status", {}).get("nodeName") == here:
            return await self._own(vmi, guest)
        state = migrating(vmi)
        if state is not None and state.get("targetNode") == here:
            return await self._await_guest(vmi, state, guest)
        if guest is not None and guest.sending is not None:
            # The target's word may come before QEMU's last figures are read here: a source that is killed then would
            # call a migration failed that has succeeded.
            await asyncio.wait({guest.sending}, timeout=handover.TAKE_OVER_SECONDS)
        await self._discard(uid)
        return False

    async def _discard(self, uid: str) -> None:
        guest = self.guests.pop(uid, None)
        if guest is not None:
            await guest.close()
            guest.launcher.end(0)

    async def _own(self, vmi: Obj, guest: Guest | None) -> bool:
        phase = vmi["status"].get("phase")
        if guest is None:
            return await self._without_guest(vmi, phase)
        if guest.moved:
            return False
        if phase in FINAL:
            await self._discard(vmi["metadata"]["uid"])
            return False
        if guest.status is not None:
            return await self._ended(vmi, guest)
        deleting = bool(vmi["metadata"].get("deletionTimestamp"))
        if (deleting or guest.launcher.stopping.is_set()) and not guest.stopping:
            grace = vmi["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS)
            await self.ctx.kube.event(vmi, "Normal", "ShuttingDown", "Signaled Graceful Shutdown", COMPONENT)
            guest.spawn(guest.shut_down(float(grace)), "shutdown")
        self._migrate(vmi, guest)
        await self._links(vmi, guest)
        await self._report.running(vmi, guest)
        return False

    async def _without_guest(self, vmi: Obj, phase: str | None) -> bool:
        if phase == "Scheduled" and not vmi["metadata"].get("deletionTimestamp"):
            launcher = self.launchers.find(vmi["metadata"]["uid"])
            if launcher is not None and not launcher.stopping.is_set():
                return await self._start(vmi, launcher)
        elif phase == "Running":
            await self._report.final(vmi, "Failed", "the guest's process was lost with an earlier agent of the node")
            launcher = self.launchers.find(vmi["metadata"]["uid"])
            if launcher is not None:
                launcher.end(1)
        return False

    async def _ended(self, vmi: Obj, guest: Guest) -> bool:
        uid = vmi["metadata"]["uid"]
        if guest.succeeded:
            await self._report.final(vmi, "Succeeded", "The VirtualMachineInstance was shut down.")
        else:
            output = guest.qemu.output()[-300:]
            await self._report.final(vmi, "Failed", f"The VirtualMachineInstance crashed. {output}".strip())
        self.guests.pop(uid, None)
        await guest.close()
        guest.launcher.end(0 if guest.succeeded else 1)
        return False

    def _log_file(self, vmi: Obj) -> Path:
        folder = self.ctx.state / "guests"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{vmi['metadata']['namespace']}_{vmi['metadata']['name']}.console.log"

    async def _start(self, vmi: Obj, launcher: Launcher) -> bool:
        """Start a fresh guest; what the user can still mend is tried again, what the pod lost is final."""
        try:
            guest, files = await self._make(vmi, launcher)
        except (LabError, KubeError, OSError, ValueError) as error:
            await self._report.sync_failed(vmi, str(error))
            return True
        uid = vmi["metadata"]["uid"]
        self.guests[uid] = guest
        try:
            await guest.start(self.host, files, self._log_file(vmi), incoming=False)
        except (LabError, OSError) as error:
            self.guests.pop(uid, None)
            await guest.close()
            await self._report.final(vmi, "Failed", f"server error. command SyncVMI failed: {error}")
            launcher.end(1)
            return False
        await self._report.started(vmi, guest)
        return False

    async def _make(self, vmi: Obj, launcher: Launcher) -> tuple[Guest, dict[str, Path]]:
        domain = domain_of(vmi, launcher.macs())
        uid = vmi["metadata"]["uid"]
        files = await media.prepare(self.ctx.kube, vmi, domain.disks, self.ctx.state / "guests" / uid)
        return Guest(vmi, launcher, domain, self.folder / launcher.uid, lambda: self._touch(uid)), files

    def _migrate(self, vmi: Obj, guest: Guest) -> None:
        state = migrating(vmi)
        if state is None:
            if guest.progress is not None and not guest.progress.aborting:
                # Somebody else called the migration off: the controller, when the target pod is gone.
                guest.spawn(self._call_off(guest), "call off")
            return
        if state.get("abortRequested"):
            if guest.progress is not None:
                guest.spawn(handover.abort(self.ctx, guest, vmi), "abort")
        elif (
            state.get("targetNodeAddress")
            and state.get("sourceNode") == self.ctx.node.name
            and state.get("migrationUid") != guest.sent
            and not guest.stopping
        ):
            # The copy of the VMI may be older than the start just written: the UID says what was begun.
            guest.sent = str(state.get("migrationUid"))
            guest.progress = Progress(guest.qemu, handover.limits_of(vmi, self.host, guest.qemu))
            guest.sending = guest.spawn(handover.send(self.ctx, guest, guest.progress, vmi), "migration")

    async def _call_off(self, guest: Guest) -> None:
        if guest.progress is not None:
            with contextlib.suppress(QemuFailed):
                await guest.progress.abort()

    async def _await_guest(self, vmi: Obj, state: Obj, guest: Guest | None) -> bool:
        """This node is a migration's target."""
        uid = vmi["metadata"]["uid"]
        if guest is not None:
            if guest.status is not None:
                self.guests.pop(uid, None)
                await guest.close()
                guest.launcher.end(1)
            elif guest.launcher.stopping.is_set() and not guest.resumed.is_set():
                await self._discard(uid)
            return False
        launcher = self.launchers.find(uid, str(state.get("targetPod") or ""))
        if launcher is None or launcher.stopping.is_set() or state.get("targetNodeAddress"):
            return False
        try:
            guest, files = await self._make(vmi, launcher)
            self.guests[uid] = guest
            await guest.start(self.host, files, self._log_file(vmi), incoming=True)
        except (LabError, OSError, ValueError) as error:
            await self.ctx.kube.event(vmi, "Warning", "SyncFailed", str(error), COMPONENT)
            failed = self.guests.pop(uid, None)
            if failed is not None:
                await failed.close()
            launcher.end(1)
            return False
        limits = handover.limits_of(vmi, self.host, guest.qemu)
        guest.spawn(handover.receive(self.ctx, guest, limits, vmi), "arrival")
        return False

    async def _links(self, vmi: Obj, guest: Guest) -> None:
        for interface in vmi["spec"]["domain"].get("devices", {}).get("interfaces") or []:
            nic = guest.nics.get(interface["name"])
            wanted = interface.get("state") != "down"
            if nic is not None and nic.up != wanted:
                await guest.set_link(nic.name, up=wanted)
