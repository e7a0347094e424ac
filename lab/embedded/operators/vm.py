"""VirtualMachine controller: keeps a VMI as the run strategy wants it and reports it in the VM's status.

It decides whether a VMI exists and nothing below that: pods are the VMI controller's. Rules: upstream
pkg/virt-controller/watch/vm/vm.go (syncRunStrategy, startVMI, stopVMI).
"""

from __future__ import annotations

import uuid

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import VM, VMI
from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KubevirtRelease
from lab.embedded.operators.names import PCI_TOPOLOGY, VM_FINALIZER, VM_GENERATION
from lab.embedded.operators.objects import (
    Obj,
    add_finalizer,
    clone,
    controlled_by,
    controller_of,
    deleting,
    dig,
    has_finalizer,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    phase_of,
    remove_finalizer,
    uid_of,
)
from lab.embedded.operators.reconcile import Controller, Temporary
from lab.embedded.operators.recorder import Recorder
from lab.embedded.operators.vm_status import (
    FINAL,
    LIVE_FIELDS,
    SyncError,
    backoff_left,
    run_strategy,
    start_requested,
    stop_requested,
    vm_status,
    wants_start,
)

# Upstream's KubeVirt namespace for UUIDs made of a VM's name (pkg/virt-controller/watch/vm/firmware.go).
FIRMWARE_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")


def render_vmi(vm: Obj, release: KubevirtRelease = DEFAULT_KUBEVIRT) -> Obj:
    """The VMI of a VM: template plus owner, finalizer and the annotations that tie them (upstream setupVMIFromVM)."""
    template = clone(vm["spec"].get("template") or {})
    meta = template.get("metadata") or {}
    generation = str(vm["metadata"].get("generation") or 1)
    spec: Obj = template.get("spec") or {}
    firmware = spec.setdefault("domain", {}).setdefault("firmware", {})
    firmware.setdefault("uuid", str(uuid.uuid5(FIRMWARE_NAMESPACE, name_of(vm))))
    annotations = {**(meta.get("annotations") or {}), VM_GENERATION: generation}
    if release.topology_annotated:
        annotations[PCI_TOPOLOGY] = "v3"
    return {
        "metadata": {
            "name": name_of(vm),
            "namespace": namespace_of(vm),
            "labels": dict(meta.get("labels") or {}),
            "annotations": annotations,
            "finalizers": [VM_FINALIZER],
            "ownerReferences": [owner_reference(vm, VM.api_version, VM.kind)],
        },
        "spec": spec,
    }


class VmController(Controller):
    """One key per VirtualMachine; the VMI has the same name."""

    def __init__(
        self, kube: Kube, informers: Informers, recorder: Recorder, release: KubevirtRelease = DEFAULT_KUBEVIRT
    ) -> None:
        super().__init__("vm")
        self._kubevirt = release
        self.kube, self.recorder = kube, recorder
        self.vms, self.vmis = informers.get(VM), informers.get(VMI)
        self.watch(self.vms)
        self.watch(self.vmis)

    async def reconcile(self, key: str) -> float | None:
        known = self.vms.items.get(key)
        if known is None:
            return None
        vm = clone(known)
        found = self.vmis.items.get(key)
        vmi = found if found is not None and controlled_by(found, uid_of(vm)) else None
        if deleting(vm):
            await self._delete(vm, vmi)
            return None
        vmi, error = await self._sync(vm, vmi)
        if not has_finalizer(vm, VM_FINALIZER):
            fresh = clone(vm)
            add_finalizer(fresh, VM_FINALIZER)
            meta = {key: fresh["metadata"][key] for key in ("finalizers", "resourceVersion")}
            vm = await self.kube.patch(VM, name_of(vm), namespace_of(vm), {"metadata": meta})
        await self._release(vmi)
        await self._write_status(vm, vmi, error)
        if error is not None:
            raise Temporary(error.message)
        left = backoff_left(vm) if vmi is None and wants_start(vm) else 0.0
        return left + 0.1 if left else None

    async def _write_status(self, vm: Obj, vmi: Obj | None, error: SyncError | None) -> None:
        status = vm_status(vm, vmi, error)
        if status != vm.get("status"):
            await self.kube.update(VM, {**vm, "status": status}, subresource="status")

    async def _delete(self, vm: Obj, vmi: Obj | None) -> None:
        orphan = "orphan" in (vm["metadata"].get("finalizers") or [])
        if vmi is not None and not orphan:
            await self._stop(vm, vmi)
            await self._release(vmi)
            await self._write_status(vm, vmi, None)
            return
        if has_finalizer(vm, VM_FINALIZER):
            fresh = clone(vm)
            remove_finalizer(fresh, VM_FINALIZER)
            await self.kube.update(VM, fresh)

    async def _sync(self, vm: Obj, vmi: Obj | None) -> tuple[Obj | None, SyncError | None]:
        try:
            if vmi is None:
                if wants_start(vm) and not backoff_left(vm):
                    return await self._start(vm), None
                return None, None
            if self._must_stop(vm, vmi):
                await self._stop(vm, vmi)
            else:
                vmi = await self._update_live(vm, vmi)
        except KubeError as error:
            if error.conflict or error.status == 0:
                raise
            creating = vmi is None
            verb, reason = ("creating", "FailedCreate") if creating else ("stopping", "FailedDelete")
            self.recorder.warning(vm, reason, f"Error {verb} virtual machine instance: {error.message}")
            what = "starting" if creating else "stopping"
            return vmi, SyncError(reason, f"Failure while {what} VMI: {error.message}")
        return vmi, None

    def _must_stop(self, vm: Obj, vmi: Obj) -> bool:
        strategy, phase = run_strategy(vm), phase_of(vmi)
        if strategy == "Halted":
            return True
        if stop_requested(vm, vmi):
            return True
        return strategy in ("Always", "RerunOnFailure") and phase in FINAL

    async def _start(self, vm: Obj) -> Obj:
        vmi = await self.kube.create(VMI, render_vmi(vm, self._kubevirt))
        name = name_of(vmi)
        self.recorder.normal(
            vm,
            "SuccessfulCreate",
            f"Started the virtual machine by creating the new virtual machine instance {name}",
        )
        # The next look at this key must see the VMI, or it would be started twice.
        await self.vmis.wait_for(lambda items: key_of(vmi) in items, timeout=10.0)
        return vmi

    async def _stop(self, vm: Obj, vmi: Obj) -> None:
        if deleting(vmi):
            return
        if run_strategy(vm) == "RerunOnFailure" and phase_of(vmi) == "Failed" and not start_requested(vm):
            # Noted before the failed VMI goes, for nothing else tells later that it failed.
            requests = [*dig(vm, "status", "stateChangeRequests", default=[]), {"action": "Start"}]
            vm["status"] = {**(vm.get("status") or {}), "stateChangeRequests": requests}
            fresh = await self.kube.update(VM, vm, subresource="status")
            vm["metadata"]["resourceVersion"] = fresh["metadata"]["resourceVersion"]
        await self.kube.delete(VMI, name_of(vmi), namespace_of(vmi), uid=uid_of(vmi))
        text = f"Stopped the virtual machine by deleting the virtual machine instance {uid_of(vmi)}"
        self.recorder.normal(vm, "SuccessfulDelete", text)

    async def _update_live(self, vm: Obj, vmi: Obj) -> Obj:
        """Copy node placement from the template to the running VMI: it counts at the next migration."""
        if phase_of(vmi) != "Running" or deleting(vmi):
            return vmi
        template = dig(vm, "spec", "template", "spec", default={})
        changed = {key: template.get(key) for key in LIVE_FIELDS if template.get(key) != vmi["spec"].get(key)}
        if not changed:
            return vmi
        body = {"metadata": {"resourceVersion": vmi["metadata"]["resourceVersion"]}, "spec": changed}
        return await self.kube.patch(VMI, name_of(vmi), namespace_of(vmi), body)

    async def _release(self, vmi: Obj | None) -> None:
        """A final VMI has told the VM all it had to tell: give up the hold on it."""
        if vmi is not None and phase_of(vmi) in FINAL and has_finalizer(vmi, VM_FINALIZER):
            fresh = clone(vmi)
            remove_finalizer(fresh, VM_FINALIZER)
            try:
                await self.kube.update(VMI, fresh)
            except KubeError as error:
                if not error.not_found:
                    raise


def owner_key(vmi: Obj) -> str | None:
    """Key of the VM that controls a VMI."""
    reference = controller_of(vmi)
    return f"{namespace_of(vmi)}/{reference['name']}" if reference and reference.get("kind") == VM.kind else None
