"""The admission webhooks, each as a function from an AdmissionReview's request to an answer.

What is right and wrong is decided by the pure rooms beside this one; here they are given what they need from the API:
the VMI of a migration or a pod, the MACs in use, the KubeVirt CR.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NAMESPACE, NNCP, POD, VM, VMI, VMIM, Kind
from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KNOWN, KubevirtRelease, NmstateRelease
from lab.embedded.operators import names
from lab.embedded.operators.admission import decoding, eviction, macpool, nncp, vm, vmi, vmim
from lab.embedded.operators.admission.causes import refuse
from lab.embedded.operators.objects import (
    Obj,
    controller_of,
    dig,
    in_namespace,
    labels_of,
    name_of,
    namespace_of,
)


@dataclass
class Answer:
    """An allowed request: the object as it shall be (None: unchanged), and warnings for the user."""

    obj: Obj | None = None
    warnings: list[str] = field(default_factory=list)


Handler = Callable[[Obj], Awaitable[Answer]]


@dataclass(frozen=True)
class Hook:
    """One webhook: its upstream name, what it is asked about, and the function that answers."""

    name: str
    mutating: bool
    group: str
    versions: tuple[str, ...]
    resource: str
    operations: tuple[str, ...]
    handler: Handler
    ignore_failure: bool = False
    policy: str = ""
    """The ValidatingAdmissionPolicy that it stands for: upstream has no webhook there, and refusals read otherwise."""

    @property
    def path(self) -> str:
        return "/" + self.name.replace(".", "-")


VERSIONS = ("v1", "v1alpha3")
CREATE: tuple[str, ...] = ("CREATE",)
UPDATE: tuple[str, ...] = ("UPDATE",)
WRITES: tuple[str, ...] = ("CREATE", "UPDATE")


def _hook(name: str, kind: Kind, operations: tuple[str, ...], handler: Handler, *, mutating: bool = False) -> Hook:
    return Hook(f"{name}.kubevirt.io", mutating, kind.group, VERSIONS, kind.plural, operations, handler)


@dataclass(frozen=True)
class Releases:
    """What is played."""

    nmstate: NmstateRelease = KNOWN[-1]
    kubevirt: KubevirtRelease = DEFAULT_KUBEVIRT


class Admission:
    """All webhooks of the lab. Handlers raise Denied to refuse."""

    def __init__(
        self,
        kube: Kube,
        informers: Informers,
        kubevirt: Callable[[], Obj | None],
        *,
        mac_pool: bool = True,
        releases: Releases = Releases(),
    ) -> None:
        self.kube, self.kubevirt = kube, kubevirt
        self.vms, self.vmis = informers.get(VM), informers.get(VMI)
        self.migrations, self.pods = informers.get(VMIM), informers.get(POD)
        self.namespaces = informers.get(NAMESPACE)
        self._given: set[str] = set()
        self._mac_pool, self._releases = mac_pool, releases

    def hooks(self) -> list[Hook]:
        """All of them; the API server asks those of one configuration in this order."""
        mutators = [
            _hook("virtualmachines-mutator", VM, WRITES, self.mutate_vm, mutating=True),
            _hook("virtualmachineinstances-mutator", VMI, WRITES, self.mutate_vmi, mutating=True),
            _hook("migrations-mutator", VMIM, CREATE, self.mutate_vmim, mutating=True),
        ]
        pool = Hook(
            "mutatevirtualmachines.kubemacpool.io", True, VM.group, VERSIONS, VM.plural, WRITES, self.assign_macs
        )
        if self._mac_pool:
            mutators.append(pool)
        validators = [
            _hook("virtualmachine-validator", VM, WRITES, self.check_vm),
            _hook("virtualmachineinstances-create-validator", VMI, CREATE, self.check_vmi),
            _hook("virtualmachineinstances-update-validator", VMI, UPDATE, self.check_vmi_update),
            _hook("migration-create-validator", VMIM, CREATE, self.check_vmim),
            _hook("migration-update-validator", VMIM, UPDATE, self.check_vmim_update),
        ]
        eviction_name = "virt-launcher-eviction-interceptor.kubevirt.io"
        interceptor = Hook(eviction_name, False, "", ("v1",), "pods/eviction", CREATE, self.check_eviction, True)
        return [*mutators, *validators, interceptor, *self._policy_hooks()]

    def _policy_hooks(self) -> list[Hook]:
        versions = ("v1", "v1beta1", "v1alpha1")

        def hook(name: str, operations: tuple[str, ...], handler: Handler, *, mutating: bool = False) -> Hook:
            full = f"{NNCP.plural}-{name}.nmstate.io"
            return Hook(full, mutating, NNCP.group, versions, NNCP.plural, operations, handler, mutating)

        mutate = hook("mutate", WRITES, self.mutate_nncp, mutating=True)
        if self._releases.nmstate.admission_policy:
            name = nncp.ADMISSION_POLICY
            return [
                mutate,
                Hook(name, False, NNCP.group, versions[:2], NNCP.plural, WRITES, self.judge_nncp, policy=name),
            ]
        return [
            mutate,
            hook("create-validate", CREATE, self.check_nncp),
            hook("update-validate", UPDATE, self.check_nncp_update),
        ]

    # -- VirtualMachine

    async def mutate_vm(self, request: Obj) -> Answer:
        obj: Obj = request["object"]
        if not obj["metadata"].get("deletionTimestamp"):
            decoding.refuse_undecodable(decoding.template_spec(obj))
            vm.default(obj, request.get("oldObject"))
        return Answer(obj)

    async def assign_macs(self, request: Obj) -> Answer:
        obj: Obj = request["object"]
        obj["metadata"].setdefault("namespace", request.get("namespace") or "")
        if obj["metadata"].get("deletionTimestamp"):
            return Answer()
        if macpool.ignored(obj, self.namespaces.items.get(namespace_of(obj))):
            return Answer()
        mine = f"{namespace_of(obj)}/{obj['metadata'].get('name', '')}"
        templates = [dig(entry, "spec", "template", "spec") for entry in self.vms.items.values()]
        taken = macpool.addresses(filter(None, templates)) | macpool.addresses(
            entry["spec"] for key, entry in self.vmis.items.items() if key != mine
        )
        known = set(taken)
        taken |= self._given - macpool.addresses([dig(request, "oldObject", "spec", "template", "spec", default={})])
        decoding.refuse_undecodable(decoding.template_spec(obj))
        macpool.assign(obj, request.get("oldObject"), taken)
        if not request.get("dryRun"):
            # What was just given is not in the informer yet; kept until it is, and then known from there.
            self._given = (self._given | macpool.addresses([dig(obj, "spec", "template", "spec", default={})])) - known
        return Answer(obj)

    async def check_vm(self, request: Obj) -> Answer:
        obj: Obj = request["object"]
        if obj["metadata"].get("deletionTimestamp"):
            return Answer()
        bridged, release = self._pod_bridge_allowed(), self._releases.kubevirt
        refuse(vm.causes(obj, kubevirt_user=_is_kubevirt(request), pod_bridge_allowed=bridged, release=release))
        return Answer(warnings=vm.warnings(obj))

    # -- VirtualMachineInstance

    async def mutate_vmi(self, request: Obj) -> Answer:
        obj: Obj = request["object"]
        if request.get("operation") == "CREATE":
            decoding.refuse_undecodable(obj.get("spec"))
            configuration = dig(self.kubevirt(), "spec", "configuration", default={})
            binding = dig(configuration, "network", "defaultNetworkInterface", default="masquerade")
            vmi.default(
                obj, eviction_strategy=configuration.get("evictionStrategy") or "", network_binding=str(binding)
            )
        elif not _is_kubevirt(request):
            vmi.keep_status(obj, request.get("oldObject") or {})
        return Answer(obj)

    async def check_vmi(self, request: Obj) -> Answer:
        kubevirt_user, bridge = _is_kubevirt(request), self._pod_bridge_allowed()
        refuse(vmi.create_causes(request["object"], kubevirt_user=kubevirt_user, pod_bridge_allowed=bridge))
        return Answer()

    async def check_vmi_update(self, request: Obj) -> Answer:
        refuse(vmi.update_causes(request["object"], request["oldObject"], kubevirt_user=_is_kubevirt(request)))
        return Answer()

    # -- VirtualMachineInstanceMigration

    async def mutate_vmim(self, request: Obj) -> Answer:
        vmim.default(request["object"])
        return Answer(request["object"])

    async def check_vmim(self, request: Obj) -> Answer:
        obj: Obj = request["object"]
        namespace = str(request.get("namespace") or namespace_of(obj))
        obj["metadata"]["namespace"] = namespace
        name = dig(obj, "spec", "vmiName", default="")
        target = await self._vmi(namespace, name) if name else None
        vmim.check_create(obj, target, in_namespace(self.migrations.items, namespace))
        return Answer()

    async def check_vmim_update(self, request: Obj) -> Answer:
        vmim.check_update(request["object"], request["oldObject"])
        return Answer()

    # -- pods/eviction

    async def check_eviction(self, request: Obj) -> Answer:
        namespace = str(request.get("namespace") or "")
        pod = self.pods.items.get(f"{namespace}/{request.get('name', '')}")
        if pod is None or labels_of(pod).get(names.APP) != names.LAUNCHER:
            return Answer()
        owner = controller_of(pod)
        target = await self._vmi(namespace, str(owner["name"])) if owner is not None else None
        if target is None:
            return Answer()
        strategy = dig(self.kubevirt(), "spec", "configuration", "evictionStrategy", default="")
        verdict = eviction.judge(target, pod, strategy)
        dry = request.get("dryRun") or dig(request, "object", "deleteOptions", "dryRun")
        if verdict.mark and not dry:
            change = {"status": {"evacuationNodeName": target["status"]["nodeName"]}}
            await self.kube.patch(VMI, name_of(target), namespace, change)
        if verdict.refusal is not None:
            raise verdict.refusal
        return Answer()

    # -- NodeNetworkConfigurationPolicy

    async def mutate_nncp(self, request: Obj) -> Answer:
        nncp.default(request["object"], request.get("oldObject"))
        return Answer(request["object"])

    async def judge_nncp(self, request: Obj) -> Answer:
        nncp.validation_policy(request["object"], request.get("oldObject"))
        return Answer()

    async def check_nncp(self, request: Obj) -> Answer:
        nncp.webhook_create(request["object"])
        return Answer()

    async def check_nncp_update(self, request: Obj) -> Answer:
        if not request["object"]["metadata"].get("deletionTimestamp"):
            nncp.webhook_update(request["object"], request["oldObject"])
        return Answer()

    # -- parts

    async def _vmi(self, namespace: str, name: str) -> Obj | None:
        try:
            return await self.kube.get(VMI, name, namespace)
        except KubeError as error:
            if error.not_found:
                return None
            raise

    def _pod_bridge_allowed(self) -> bool:
        permitted = dig(self.kubevirt(), "spec", "configuration", "network", "permitBridgeInterfaceOnPodNetwork")
        return permitted is not False


def _is_kubevirt(request: Obj) -> bool:
    return names.is_kubevirt_user(str(dig(request, "userInfo", "username", default="")))
