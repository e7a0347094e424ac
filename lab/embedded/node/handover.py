"""Both sides of a live migration, told to the API step by step in upstream's order.

Source: startTimestamp, QEMU's migration, and on failure the reason; the guest then goes on here.  Target:
listens, says so, says at once when the guest runs here (the logical ports are switched on that word), and
takes the VMI over.  Which migration is to run at all is decided by virt-controller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import POD, VMI
from lab.embedded.node import jobinfo, migration
from lab.embedded.node.containers import LogFile
from lab.embedded.node.context import NodeContext
from lab.embedded.node.domain import Host, memory_of
from lab.embedded.node.guest import Guest
from lab.embedded.node.migration import DIRECT_PORT, Limits, MigrationFailed, Progress
from lab.embedded.node.names import now
from lab.embedded.node.qemu import Qemu, QemuFailed
from lab.embedded.node.vmiwriter import change, merge_state

log = logging.getLogger(__name__)
Obj = dict[str, Any]
TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
NODE_LABEL = "kubevirt.io/nodeName"
COMPONENT = "virt-handler"
TAKE_OVER_SECONDS = 10.0
"""How long the source keeps a guest that has left."""
SWITCH_SECONDS = 3.0
"""How long the target waits for virt-controller's word on the pod before it takes the VMI over."""


def limits_of(vmi: Obj, host: Host, qemu: Qemu) -> Limits:
    """The limits of the migration that a VMI is in."""
    configuration = vmi["status"]["migrationState"].get("migrationConfiguration") or {}
    return Limits.of(configuration, memory_of(vmi), host.accel, qemu.version)


async def send(ctx: NodeContext, guest: Guest, progress: Progress, vmi: Obj) -> None:
    """The source's side, to the end. A failure is written to the VMI, never raised."""
    state = vmi["status"]["migrationState"]
    try:
        await merge_state(ctx.kube, vmi, {"startTimestamp": now(), "mode": "PreCopy"})
        await ctx.kube.event(vmi, "Normal", "Migrating", "VirtualMachineInstance is migrating.", COMPONENT)
        ports = state.get("targetDirectMigrationNodePorts") or {}
        port = next(int(key) for key, value in ports.items() if value == DIRECT_PORT)
        await migration.offer(guest.qemu, state["targetNodeAddress"], port, progress.limits)
        await progress.start(paused=guest.paused)
        figures = await progress.finish(lambda: merge_state(ctx.kube, vmi, {"mode": "PostCopy"}))
    except MigrationFailed as failure:
        await _failed(ctx, guest, vmi, failure.reason, aborted=failure.aborted)
        return
    except (QemuFailed, OSError, StopIteration) as error:
        await _failed(ctx, guest, vmi, f"Live migration failed: {str(error) or type(error).__name__}", aborted=False)
        return
    guest.moved = True
    LogFile(guest.launcher.log).write("stdout", jobinfo.line(str(state.get("migrationUid")), figures))
    log.info("%s moved to %s: %s ms in all, %s ms pause, %s bytes", guest.domain.name, state.get("targetNode"),
             figures.get("total-time"), figures.get("downtime"),
             figures.get("ram", {}).get("transferred"))  # fmt: skip
    await guest.drop_console()
    await _until_taken_over(ctx, vmi)
    await guest.quit()
    guest.launcher.end(0)


async def _until_taken_over(ctx: NodeContext, vmi: Obj) -> None:
    """The stopped guest is kept, and with it the pod, until the VMI is the target's.

    A pod that ended while the VMI still names this node would make the VMI not Ready in the middle of the switch."""
    with contextlib.suppress(TimeoutError):
        await ctx.informers.get(VMI).wait_for(
            lambda items: taken_over(items.get(_key(vmi)), ctx.node.name), TAKE_OVER_SECONDS
        )


def _key(vmi: Obj) -> str:
    return f"{vmi['metadata']['namespace']}/{vmi['metadata']['name']}"


def taken_over(vmi: Obj | None, here: str) -> bool:
    """Whether a VMI that a node has sent away is no longer its own: another's, or gone, or the end was written."""
    state = ((vmi or {}).get("status") or {}).get("migrationState") or {}
    return is_elsewhere(vmi, here) or bool(state.get("completed"))


def is_elsewhere(vmi: Obj | None, here: str) -> bool:
    """Whether a VMI has another node than *here*, or is gone."""
    return ((vmi or {}).get("status") or {}).get("nodeName") != here


async def _failed(ctx: NodeContext, guest: Guest, vmi: Obj, reason: str, *, aborted: bool) -> None:
    """The guest goes on here, and the VMI says why; unless the target has it: then only this QEMU's end was lost."""
    guest.progress = None
    if is_elsewhere(ctx.informers.get(VMI).items.get(_key(vmi)), ctx.node.name):
        log.warning("%s had moved when its source said: %s", guest.domain.name, reason)
        return
    with contextlib.suppress(QemuFailed):
        if guest.status is None and not guest.paused:
            status = await guest.qemu.command("query-status")
            if not status.get("running"):
                await guest.qemu.command("cont")
    result: Obj = {"failed": True, "completed": True, "endTimestamp": now(), "failureReason": reason}
    if aborted:
        result["abortStatus"] = "Succeeded"
    log.warning("migration of %s: %s", guest.domain.name, reason)

    def edit(current: Obj) -> None:
        if not is_elsewhere(current, ctx.node.name):
            current["status"]["migrationState"].update(result)

    stored = await change(ctx.kube, vmi, edit)
    if stored and stored["status"]["migrationState"].get("failureReason") == reason:
        await _say_failed(ctx, vmi, reason)


async def _say_failed(ctx: NodeContext, vmi: Obj, reason: str) -> None:
    uid = vmi["status"]["migrationState"].get("migrationUid", "")
    text = f"VirtualMachineInstance migration uid {uid} failed. reason:{reason}"
    await ctx.kube.event(vmi, "Warning", "Migrated", text, COMPONENT)


async def abort(ctx: NodeContext, guest: Guest, vmi: Obj) -> None:
    """Stop a running migration because its object was deleted."""
    if guest.progress is None or guest.progress.aborting:
        return
    guest.progress.aborting = True
    await merge_state(ctx.kube, vmi, {"abortStatus": "Aborting"})
    text = "VirtualMachineInstance is aborting migration."
    await ctx.kube.event(vmi, "Normal", "Migrating", text, COMPONENT)
    with contextlib.suppress(QemuFailed):
        await guest.progress.abort()


async def receive(ctx: NodeContext, guest: Guest, limits: Limits, vmi: Obj) -> None:
    """The target's side, until the VMI is this node's. The guest's QEMU already waits with `-incoming defer`."""
    try:
        await migration.prepare(guest.qemu, limits)
    except QemuFailed as refusal:
        await _refuse(ctx, guest, vmi, migration.refused(refusal.found, guest.qemu.output()))
        return
    with migration.listen(ctx.node.machine_ip) as listener:
        port = listener.getsockname()[1]
        await merge_state(ctx.kube, vmi, {
            "targetNodeAddress": ctx.node.machine_ip,
            "targetDirectMigrationNodePorts": {str(port): DIRECT_PORT},
        })  # fmt: skip
        text = f"Migration Target is listening at {ctx.node.machine_ip}, on ports: {port}"
        await ctx.kube.event(vmi, "Normal", "PreparingTarget", text, COMPONENT)
        text = "VirtualMachineInstance Migration Target Prepared."
        await ctx.kube.event(vmi, "Normal", "PreparingTarget", text, COMPONENT)
        await migration.receive(guest.qemu, listener)
    if not await _came(guest, guest.resumed):
        return
    state = {"targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": now()}
    await merge_state(ctx.kube, vmi, state)
    if not await _came(guest, guest.arrived):
        return
    guest.paused = not (await guest.qemu.command("query-status")).get("running")
    await _switched(ctx, guest)
    await take_over(ctx, guest, vmi)


async def _refuse(ctx: NodeContext, guest: Guest, vmi: Obj, reason: str) -> None:
    """Nothing was begun, and the source is not told to: the migration ends here, the guest stays where it is."""
    log.warning("migration of %s: %s", guest.domain.name, reason)
    stamp = now()
    result = {"startTimestamp": stamp, "endTimestamp": stamp, "failed": True, "completed": True}
    await merge_state(ctx.kube, vmi, {**result, "failureReason": reason})
    await _say_failed(ctx, vmi, reason)


async def _came(guest: Guest, moment: asyncio.Event) -> bool:
    """Wait for a moment of the guest, or its end."""
    waits = [asyncio.ensure_future(moment.wait()), asyncio.ensure_future(guest.ended.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return moment.is_set()


async def _switched(ctx: NodeContext, guest: Guest) -> None:
    """Wait until virt-controller has marked the target pod, whose port is enabled on that; then call out again."""
    key = f"{guest.launcher.namespace}/{guest.launcher.name}"

    def marked(items: dict[str, Obj]) -> bool:
        return key not in items or TARGET_READY in (items[key]["metadata"].get("annotations") or {})

    try:
        await ctx.informers.get(POD).wait_for(marked, SWITCH_SECONDS)
    except TimeoutError:
        log.warning("pod %s has no annotation %s after %g s", key, TARGET_READY, SWITCH_SECONDS)
    with contextlib.suppress(QemuFailed):
        await guest.qemu.command("announce-self", migration.announcing())


async def take_over(ctx: NodeContext, guest: Guest, vmi: Obj) -> None:
    """The VMI is this node's from now on."""
    name = ctx.node.name

    def edit(current: Obj) -> None:
        current["metadata"].setdefault("labels", {})[NODE_LABEL] = name
        status = current["status"]
        status["nodeName"] = name
        status.pop("evacuationNodeName", None)
        status["migrationState"].update({"endTimestamp": now(), "completed": True})

    while True:
        try:
            await change(ctx.kube, vmi, edit)
            break
        except KubeError as refusal:
            # The guest runs here whatever the API says: only this word is missing, so it is said again.
            log.warning("taking over %s: %s", guest.domain.name, refusal)
            await asyncio.sleep(1.0)
    guest.role = "owner"
    text = f"The VirtualMachineInstance migrated to node {name}."
    await ctx.kube.event(vmi, "Normal", "Migrated", text, COMPONENT)
