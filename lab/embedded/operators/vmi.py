"""VirtualMachineInstance controller: gives a VMI its launcher pod and carries what the pod says into the VMI.

It creates and deletes pods; it places none (the scheduler does) and runs none (the node does). Rules: upstream
pkg/virt-controller/watch/vmi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NAD, POD, VM, VMI
from lab.embedded.operators import names, vmi_status
from lab.embedded.operators.attachments import attachments_of
from lab.embedded.operators.launcher import LauncherConfig, RenderError, attachment_key, needs_privileged, render
from lab.embedded.operators.objects import (
    Obj,
    clone,
    controlled_by,
    controller_of,
    deleting,
    dig,
    in_namespace,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    phase_of,
    uid_of,
)
from lab.embedded.operators.reconcile import Controller, Temporary
from lab.embedded.operators.recorder import Recorder

POD_LABELS = f"{names.APP}={names.LAUNCHER}"
Created = tuple[str, str] | None


def pod_owner_keys(pod: Obj) -> Iterable[str]:
    """The VMI that a launcher pod belongs to."""
    reference = controller_of(pod)
    if reference is not None and reference.get("kind") == VMI.kind:
        yield f"{namespace_of(pod)}/{reference['name']}"


class VmiController(Controller):
    """One key per VirtualMachineInstance."""

    def __init__(
        self, kube: Kube, informers: Informers, recorder: Recorder, config: Callable[[], LauncherConfig]
    ) -> None:
        super().__init__("vmi")
        self.kube, self.recorder, self.config = kube, recorder, config
        self.vmis, self.vms = informers.get(VMI), informers.get(VM)
        self.pods = informers.get(POD)
        self.watch(self.vmis)
        self.watch(self.pods, pod_owner_keys)
        self.watch(informers.get(NAD), self._waiting_for)
        self.watch(self.vms)

    def pods_of(self, vmi: Obj) -> list[Obj]:
        uid = uid_of(vmi)
        return [pod for pod in in_namespace(self.pods.items, namespace_of(vmi)) if controlled_by(pod, uid)]

    async def reconcile(self, key: str) -> float | None:
        known = self.vmis.items.get(key)
        if known is None:
            return None
        vmi = clone(known)
        error = await self._sync(vmi)
        pods = self.pods_of(vmi)
        owner = vmi_status.owner_vm(vmi)
        vmi_status.update(
            vmi,
            pods,
            error,
            owner_vm_exists=owner is not None and f"{namespace_of(vmi)}/{owner}" in self.vms.items,
            image=self.config().image,
        )
        if vmi != known:
            try:
                vmi = await self.kube.update(VMI, vmi)
            except KubeError as lost:
                if not lost.not_found:
                    raise
                return None
        await self._sync_pod(vmi, vmi_status.current_pod(vmi, pods))
        await self._open_gate(vmi, vmi_status.target_pod(vmi, pods))
        if error is not None:
            raise Temporary(error[1])
        return self._look_again(vmi, pods)

    async def _sync(self, vmi: Obj) -> Created:
        """Create or delete pods; (reason, message) of what hindered it."""
        pods = self.pods_of(vmi)
        if deleting(vmi):
            for pod in pods:
                if not deleting(pod):
                    await self._delete_pod(vmi, pod)
            return None
        if pods or phase_of(vmi) not in ("", "Pending"):
            return None
        try:
            manifest = render(vmi, await attachments_of(self.kube, vmi), self.config())
        except RenderError as error:
            message = f"failed to render launch manifest: {error}"
            self.recorder.warning(vmi, "FailedCreate", f"Error creating pod: {message}")
            return "FailedCreate", message
        try:
            pod = await self.kube.create(POD, manifest)
        except KubeError as error:
            if error.status == 0:
                raise
            if said := needs_privileged(vmi, error.message):
                self.recorder.warning(vmi, "FailedCreate", f"failed to render launch manifest: {said}")
                return "FailedCreate", said
            self.recorder.warning(vmi, "FailedCreate", f"Error creating pod: {error.message}")
            return "FailedCreate", f"failed to create virtual machine pod: {error.message}"
        self.recorder.normal(vmi, "SuccessfulCreate", f"Created virtual machine pod {name_of(pod)}")
        # The next look must see the pod, or there would be a second one.
        await self.pods.wait_for(lambda items: key_of(pod) in items, timeout=10.0)
        return None

    async def _delete_pod(self, vmi: Obj, pod: Obj) -> None:
        try:
            await self.kube.delete(POD, name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except KubeError as error:
            if error.not_found or error.status == 409:
                return
            self.recorder.warning(vmi, "FailedDelete", f"Error deleting pod: {error.message}")
            raise
        self.recorder.normal(vmi, "SuccessfulDelete", f"Deleted virtual machine pod {name_of(pod)}")

    async def _sync_pod(self, vmi: Obj, pod: Obj | None) -> None:
        """The VMI's node label and the readiness gate on the pod it lives in."""
        if pod is None or deleting(pod) or phase_of(pod) in vmi_status.FINAL:
            return
        node = labels_of(vmi).get(names.NODE_NAME)
        try:
            if node and labels_of(pod).get(names.NODE_NAME) != node and dig(pod, "spec", "nodeName") == node:
                body = {"metadata": {"labels": {names.NODE_NAME: node}}}
                await self.kube.patch(POD, name_of(pod), namespace_of(pod), body)
        except KubeError as error:
            if not error.not_found:
                raise
        await self._open_gate(vmi, pod)

    async def _open_gate(self, vmi: Obj, pod: Obj | None) -> None:
        """Set the readiness gate on a pod of the VMI that a node has."""
        gate = vmi_status.gate_condition(vmi, pod) if pod is not None and dig(pod, "spec", "nodeName") else None
        if pod is None or gate is None:
            return
        change = {"status": {"conditions": [gate]}}
        try:
            await self.kube.patch(POD, name_of(pod), namespace_of(pod), change, type="strategic", subresource="status")
        except KubeError as error:
            if not error.not_found:
                raise

    def _look_again(self, vmi: Obj, pods: list[Obj]) -> float | None:
        pod = vmi_status.current_pod(vmi, pods)
        if pod is not None and vmi_status.is_pod_down(pod) and phase_of(vmi) not in vmi_status.FINAL:
            return vmi_status.HANDLER_GRACE_SECONDS
        return None

    def _waiting_for(self, nad: Obj) -> Iterable[str]:
        """VMIs without a pod that name this attachment."""
        for key, vmi in self.vmis.items.items():
            if phase_of(vmi) not in ("", "Pending"):
                continue
            wanted = [dig(network, "multus", "networkName") for network in dig(vmi, "spec", "networks", default=[])]
            if any(name and attachment_key(name, namespace_of(vmi)) == key_of(nad) for name in wanted):
                yield key
