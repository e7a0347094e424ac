"""Live migration, the cluster's part: the target pod, the handover to the nodes, the outcome.

What moves the guest is the two virt-handlers' work; they and this controller meet only in VMI.status.migrationState,
the label `kubevirt.io/migrationTargetNodeName` and the target pod. Rules: upstream
pkg/virt-controller/watch/migration/migration.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import MIGRATION_POLICY, NAMESPACE, POD, VMI, VMIM
from lab.embedded.operators import names
from lab.embedded.operators.attachments import attachments_of
from lab.embedded.operators.launcher import LauncherConfig, RenderError, needs_privileged, render_target
from lab.embedded.operators.migration_config import configure, matching_policy
from lab.embedded.operators.migration_status import FINAL, HANDED_OFF, Said, advance, is_final, state_of, target_lost
from lab.embedded.operators.objects import (
    Obj,
    add_finalizer,
    age,
    annotations_of,
    clone,
    deleting,
    dig,
    has_finalizer,
    in_namespace,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    newest_first,
    now,
    phase_of,
    remove_finalizer,
    set_label,
    uid_of,
)
from lab.embedded.operators.reconcile import Controller, Temporary
from lab.embedded.operators.recorder import Recorder
from lab.embedded.operators.vmi_status import HANDLER_GRACE_SECONDS, current_pod, is_pod_down, is_pod_ready
from lab.embedded.reading import whole

FINALIZED_KEPT = 5
UNSCHEDULABLE_SECONDS = 300
PENDING_SECONDS = 900
LIMIT_RETRY_SECONDS = 5.0
LINGER_SECONDS = 15.0
ABORTED = "Live migration has been aborted"


class MigrationController(Controller):
    """One key per VirtualMachineInstanceMigration."""

    def __init__(
        self,
        kube: Kube,
        informers: Informers,
        recorder: Recorder,
        launcher: Callable[[], LauncherConfig],
        settings: Callable[[], Obj],
    ) -> None:
        super().__init__("migration")
        self.kube, self.recorder, self.launcher, self.settings = kube, recorder, launcher, settings
        self.migrations, self.vmis = informers.get(VMIM), informers.get(VMI)
        self.pods = informers.get(POD)
        self.namespaces, self.policies = informers.get(NAMESPACE), informers.get(MIGRATION_POLICY)
        self._creating: set[str] = set()
        self.watch(self.migrations)
        self.watch(self.vmis, self._keys_of_vmi)
        self.watch(self.pods, self._keys_of_pod)

    async def reconcile(self, key: str) -> float | None:
        known = self.migrations.items.get(key)
        if known is None:
            return None
        found = self.vmis.items.get(f"{namespace_of(known)}/{known['spec'].get('vmiName', '')}")
        vmi = clone(found) if found is not None else None
        migration = clone(known)
        if not is_final(migration):
            if not deleting(migration) and not has_finalizer(migration, names.MIGRATION_FINALIZER):
                add_finalizer(migration, names.MIGRATION_FINALIZER)
                migration = await self.kube.update(VMIM, migration)
            wait = await self._act(migration, vmi)
            await self._write(migration, vmi)
            return wait
        return await self._settle(migration, vmi)

    # -- while it goes on

    async def _write(self, migration: Obj, vmi: Obj | None) -> None:
        before = clone(migration)
        source = current_pod(vmi, self._pods_of(vmi)) if vmi is not None else None
        said = advance(migration, vmi, self.target_pod(migration), name_of(source) if source else "")
        if migration.get("status") != before.get("status"):
            await self.kube.update(VMIM, migration, subresource="status")
        if said is not None:
            self._say(migration, said)

    async def _act(self, migration: Obj, vmi: Obj | None) -> float | None:
        """What the present phase asks for; seconds until it should be looked at without an event."""
        if vmi is None or phase_of(vmi) in FINAL:
            return None
        phase, pod = phase_of(migration), self.target_pod(migration)
        if deleting(migration):
            return await self._cancel(migration, vmi, pod)
        if phase in ("", "Pending") and pod is None:
            return await self._create_target(migration, vmi)
        if pod is not None and state_of(vmi, migration) is None and phase not in HANDED_OFF:
            if is_pod_ready(pod):
                await self._hand_over(migration, vmi, pod)
                return None
            return await self._check_pending(migration, vmi, pod)
        return await self._check_target(migration, vmi, pod)

    async def _create_target(self, migration: Obj, vmi: Obj) -> float | None:
        if phase_of(vmi) != "Running" or deleting(vmi):
            return None
        if self._other_running(migration, vmi) or not self._within_limits(migration, vmi):
            return LIMIT_RETRY_SECONDS
        # No await between the count above and this mark: two migrations cannot both take the last place.
        self._creating.add(uid_of(migration))
        try:
            source = current_pod(vmi, self._pods_of(vmi))
            image = dig(source, "spec", "containers", 0, "image", default="")
            nads = await attachments_of(self.kube, vmi)
            manifest = render_target(vmi, migration, nads, self.launcher(), image)
            pod = await self.kube.create(POD, manifest)
            self.recorder.normal(migration, "SuccessfulCreate", f"Created migration target pod {name_of(pod)}")
            await self.pods.wait_for(lambda items: key_of(pod) in items, timeout=10.0)
        except (RenderError, KubeError) as error:
            if isinstance(error, KubeError) and error.status == 0:
                raise
            text = error.message if isinstance(error, KubeError) else f"failed to render launch manifest: {error}"
            if said := needs_privileged(vmi, text, "target pod"):
                self.recorder.warning(vmi, "FailedCreate", f"failed to render launch manifest: {said}")
                raise Temporary(said) from error
            self.recorder.warning(migration, "FailedCreate", f"Error creating pod: {text}")
            raise Temporary(f"failed to create target pod: {text}") from error
        finally:
            self._creating.discard(uid_of(migration))
        return None

    async def _hand_over(self, migration: Obj, vmi: Obj, pod: Obj) -> None:
        """Name source and target in the VMI: from here the two nodes act."""
        source = current_pod(vmi, self._pods_of(vmi))
        namespace = self.namespaces.items.get(namespace_of(vmi))
        policy = matching_policy(self.policies.items.values(), vmi, namespace)
        fresh = clone(vmi)
        target = str(pod["spec"]["nodeName"])
        fresh["status"]["migrationState"] = {
            "migrationUid": uid_of(migration),
            "sourceNode": dig(vmi, "status", "nodeName", default=""),
            "sourcePod": name_of(source) if source else "",
            "targetNode": target,
            "targetPod": name_of(pod),
            "migrationConfiguration": configure(self.settings(), policy),
            **({"migrationPolicyName": name_of(policy)} if policy else {}),
        }
        set_label(fresh, names.MIGRATION_TARGET_NODE, target)
        written = await self.kube.update(VMI, fresh)
        self.recorder.normal(
            migration, "SuccessfulHandOver", "Migration target pod is ready for preparation by virt-handler."
        )
        vmi.clear()
        vmi.update(written)

    async def _check_target(self, migration: Obj, vmi: Obj, pod: Obj | None) -> float | None:
        """After the handover: a target that is gone or down ends it; an acknowledged end is an end."""
        state = state_of(vmi, migration)
        if state is None or state.get("completed"):
            return None
        acknowledged = state.get("endTimestamp") and dig(vmi, "status", "nodeName") == state.get("targetNode")
        if acknowledged and not state.get("failed"):
            await self._mark(vmi, {"completed": True})
        elif pod is not None and is_pod_down(pod) and not target_lost(pod, state):
            return HANDLER_GRACE_SECONDS
        elif target_lost(pod, state):
            await self._fail(vmi, "Target pod is down")
            text = f"VirtualMachineInstance migration uid {uid_of(migration)} failed. reason: target pod is down"
            self.recorder.warning(vmi, "FailedMigration", text)
        return None

    async def _cancel(self, migration: Obj, vmi: Obj, pod: Obj | None) -> float | None:
        state = state_of(vmi, migration)
        if state is None:
            if pod is not None and not deleting(pod):
                await self._delete_pod(migration, pod)
            return None
        if not state.get("completed") and not state.get("startTimestamp"):
            # The source has not begun, so nobody but this controller can end it; a start in between is a conflict.
            await self._fail(vmi, ABORTED, abortRequested=True, abortStatus="Succeeded")
        elif not state.get("completed") and not state.get("abortRequested"):
            await self._mark(vmi, {"abortRequested": True})
            self.recorder.normal(migration, "SuccessfulAbortMigration", f"Migration canceled for VMI {name_of(vmi)}")
        return await self._check_target(migration, vmi, pod)

    async def _check_pending(self, migration: Obj, vmi: Obj, pod: Obj) -> float | None:
        """A target pod that does not start in time is removed, which fails the migration."""
        refused = any(
            entry.get("type") == "PodScheduled" and entry.get("status") == "False"
            for entry in dig(pod, "status", "conditions", default=[])
        )
        if refused:
            place = f"{namespace_of(vmi)}/{name_of(vmi)}"
            text = f"Migration target pod for VMI [{place}] is currently unschedulable."
            self.recorder.warning(migration, "migrationTargetPodUnschedulable", text)
        limit = _timeout(migration, names.UNSCHEDULABLE_TIMEOUT, UNSCHEDULABLE_SECONDS) if refused else None
        if limit is None:
            limit = _timeout(migration, names.PENDING_TIMEOUT, PENDING_SECONDS)
        left = limit - age(pod["metadata"].get("creationTimestamp"))
        if left <= 0 and not deleting(pod):
            await self._delete_pod(migration, pod)
        return max(1.0, left)

    # -- when it has ended

    async def _settle(self, migration: Obj, vmi: Obj | None) -> float | None:
        """After a final phase: the VMI's label, leftovers, the finalizer, old migrations."""
        state = state_of(vmi, migration) if vmi is not None else None
        pod = self.target_pod(migration)
        if vmi is not None and state is not None:
            if not state.get("completed") and phase_of(migration) == "Failed":
                await self._fail(vmi, "Target pod is down")
                return None
            if state.get("completed") and names.MIGRATION_TARGET_NODE in labels_of(vmi):
                fresh = clone(vmi)
                set_label(fresh, names.MIGRATION_TARGET_NODE, None)
                await self.kube.update(VMI, fresh)
        wait = await self._clear_target(migration, pod, handed_over=state is not None)
        if has_finalizer(migration, names.MIGRATION_FINALIZER):
            remove_finalizer(migration, names.MIGRATION_FINALIZER)
            await self.kube.update(VMIM, migration)
        if vmi is None:
            if not deleting(migration):
                await self._delete(migration)
            return None
        await self._collect(vmi)
        return wait

    async def _clear_target(self, migration: Obj, pod: Obj | None, *, handed_over: bool) -> float | None:
        """A failed migration leaves no pod running; its own node ends it first, if it was told of it."""
        if phase_of(migration) != "Failed" or pod is None or is_pod_down(pod) or deleting(pod):
            return None
        stamps = dig(migration, "status", "phaseTransitionTimestamps", default=[])
        ended = age(stamps[-1].get("phaseTransitionTimestamp")) if stamps else LINGER_SECONDS
        if handed_over and ended < LINGER_SECONDS:
            return LINGER_SECONDS - ended + 0.1
        await self._delete_pod(migration, pod)
        return None

    async def _collect(self, vmi: Obj) -> None:
        """Keep the newest finalized migrations of a VMI; an older one takes its finished pod with it."""
        ended = [entry for entry in self._of_vmi(vmi) if is_final(entry) and not deleting(entry)]
        for old in newest_first(ended)[FINALIZED_KEPT:]:
            pod = self.target_pod(old)
            if pod is not None and is_pod_down(pod) and not deleting(pod):
                await self._delete_pod(old, pod)
            await self._delete(old)

    # -- parts

    def target_pod(self, migration: Obj) -> Obj | None:
        """The pod made for this migration."""
        uid = uid_of(migration)
        for pod in in_namespace(self.pods.items, namespace_of(migration)):
            if labels_of(pod).get(names.MIGRATION_JOB_UID) == uid:
                return pod
        return None

    def _pods_of(self, vmi: Obj) -> list[Obj]:
        uid = uid_of(vmi)
        pods = in_namespace(self.pods.items, namespace_of(vmi))
        return [pod for pod in pods if labels_of(pod).get(names.CREATED_BY) == uid]

    def _of_vmi(self, vmi: Obj) -> list[Obj]:
        found = in_namespace(self.migrations.items, namespace_of(vmi))
        return [entry for entry in found if entry["spec"].get("vmiName") == name_of(vmi)]

    def _started(self) -> list[Obj]:
        """Migrations that have, or are about to have, a target pod."""
        return [
            entry
            for entry in self.migrations.items.values()
            if not is_final(entry) and (uid_of(entry) in self._creating or self.target_pod(entry) is not None)
        ]

    def _other_running(self, migration: Obj, vmi: Obj) -> bool:
        others = {uid_of(entry) for entry in self._of_vmi(vmi)} - {uid_of(migration)}
        return any(uid_of(entry) in others for entry in self._started())

    def _within_limits(self, migration: Obj, vmi: Obj) -> bool:
        settings, node = self.settings(), dig(vmi, "status", "nodeName")
        active = [entry for entry in self._started() if uid_of(entry) != uid_of(migration)]
        vmis = [self.vmis.items.get(f"{namespace_of(entry)}/{entry['spec']['vmiName']}") for entry in active]
        outbound = [other for other in vmis if dig(other, "status", "nodeName") == node]
        return len(active) < int(settings["parallelMigrationsPerCluster"]) and len(outbound) < int(
            settings["parallelOutboundMigrationsPerNode"]
        )

    async def _mark(self, vmi: Obj, change: Obj) -> None:
        fresh = clone(vmi)
        fresh["status"]["migrationState"].update(change)
        written = await self.kube.update(VMI, fresh)
        vmi.clear()
        vmi.update(written)

    async def _fail(self, vmi: Obj, reason: str, **more: object) -> None:
        state, stamp = vmi["status"]["migrationState"], now()
        change = {"startTimestamp": state.get("startTimestamp") or stamp, "endTimestamp": stamp, **more}
        await self._mark(vmi, {**change, "failed": True, "completed": True, "failureReason": reason})

    async def _delete_pod(self, migration: Obj, pod: Obj) -> None:
        try:
            await self.kube.delete(POD, name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except KubeError as error:
            if not error.not_found:
                raise
        self.recorder.normal(migration, "SuccessfulDelete", f"Deleted migration target pod {name_of(pod)}")

    async def _delete(self, migration: Obj) -> None:
        try:
            await self.kube.delete(VMIM, name_of(migration), namespace_of(migration), uid=uid_of(migration))
        except KubeError as error:
            if not error.not_found:
                raise

    def _say(self, migration: Obj, said: Said) -> None:
        note = self.recorder.normal if said.type == "Normal" else self.recorder.warning
        note(migration, said.reason, said.message)

    def _keys_of_vmi(self, vmi: Obj) -> Iterable[str]:
        return [key_of(entry) for entry in self._of_vmi(vmi)]

    def _keys_of_pod(self, pod: Obj) -> Iterable[str]:
        uid = labels_of(pod).get(names.MIGRATION_JOB_UID)
        if uid:
            found = in_namespace(self.migrations.items, namespace_of(pod))
            yield from [key_of(entry) for entry in found if uid_of(entry) == uid]


def _timeout(migration: Obj, annotation: str, default: int) -> float:
    seconds = whole(annotations_of(migration).get(annotation, ""))
    return float(default if seconds is None else seconds)
