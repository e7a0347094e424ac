"""Node lifecycle: a node whose heartbeat stopped is NotReady, tainted, closed to VMs, and its pods are not ready.

The heartbeat is the node's Lease in `kube-node-lease`. It never evicts and never touches a node that is alive, save
for its own taint and label. Rules: kube-controller-manager's node lifecycle controller, upstream watch/node/node.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import LEASE, NODE, POD
from lab.embedded.operators.names import SCHEDULABLE
from lab.embedded.operators.objects import (
    Obj,
    age,
    condition,
    conditions_of,
    dig,
    has_condition,
    labels_of,
    name_of,
    namespace_of,
    now,
    phase_of,
    uid_of,
)
from lab.embedded.operators.placement import UNREACHABLE
from lab.embedded.operators.reconcile import Controller
from lab.embedded.operators.recorder import Recorder

LEASE_NAMESPACE = "kube-node-lease"
STALE_SECONDS = 12.0
STOPPED = "Kubelet stopped posting node status."
CONDITION_TYPES = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class NodeController(Controller):
    """One key per Node."""

    def __init__(self, kube: Kube, informers: Informers, recorder: Recorder) -> None:
        super().__init__("nodes")
        self.kube, self.recorder = kube, recorder
        self.nodes, self.pods = informers.get(NODE), informers.get(POD)
        self.leases = informers.get(LEASE, namespace=LEASE_NAMESPACE)
        # The kubelet's last words before a silence. One that writes changes only does not repeat them afterwards.
        self._last_words: dict[str, list[Obj]] = {}
        self._ready_before: dict[str, Obj] = {}
        self.watch(self.nodes)
        self.watch(self.leases, self._lease_keys)

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.items.get(key)
        if node is None:
            return None
        silent = self._silent_for(node)
        if silent is None or silent <= STALE_SECONDS:
            if has_condition(node, "Ready", "Unknown") and key in self._last_words:
                await self._revive(node)
            elif has_condition(node, "Ready"):
                await self._open(node)
            return 0.1 + STALE_SECONDS - (silent or 0.0)
        await self._close(node)
        return None

    def _lease_keys(self, lease: Obj) -> Iterable[str]:
        # Only a sign of life after a silence is news; the timer finds the silence itself.
        node = self.nodes.items.get(name_of(lease))
        if node is not None and has_condition(node, "Ready", "Unknown"):
            yield name_of(node)

    def _silent_for(self, node: Obj) -> float | None:
        lease = self.leases.items.get(f"{LEASE_NAMESPACE}/{name_of(node)}")
        stamp = dig(lease, "spec", "renewTime")
        if stamp:
            return age(stamp)
        born = node["metadata"].get("creationTimestamp")
        return age(born) if born else None

    async def _open(self, node: Obj) -> None:
        taints = dig(node, "spec", "taints", default=[])
        kept = [taint for taint in taints if taint.get("key") != UNREACHABLE]
        body: Obj = {}
        if kept != taints:
            body["spec"] = {"taints": kept or None}
        if labels_of(node).get(SCHEDULABLE) != "true":
            body["metadata"] = {"labels": {SCHEDULABLE: "true"}}
        if body:
            await self.kube.patch(NODE, name_of(node), None, body)

    async def _revive(self, node: Obj) -> None:
        """Put back what the silence covered; what is true now the kubelet says itself."""
        words = [{**entry, "lastTransitionTime": now()} for entry in self._last_words[name_of(node)]]
        body = {"status": {"conditions": words}}
        await self.kube.patch(NODE, name_of(node), None, body, type="strategic", subresource="status")
        del self._last_words[name_of(node)]
        for pod in self.pods.items.values():
            before = self._ready_before.pop(uid_of(pod), None) if self._is_on(pod, node) else None
            if before is not None and has_condition(pod, "Ready", "False"):
                await self._put_ready(pod, {**before, "lastTransitionTime": now()})

    def _is_on(self, pod: Obj, node: Obj) -> bool:
        return bool(dig(pod, "spec", "nodeName") == name_of(node))

    async def _close(self, node: Obj) -> None:
        if has_condition(node, "Ready"):
            self._last_words[name_of(node)] = conditions_of(node)
            entries = [self._unknown(entry) for entry in conditions_of(node)]
            missing = set(CONDITION_TYPES) - {entry["type"] for entry in entries}
            entries += [self._unknown({"type": kind}) for kind in sorted(missing)]
            body = {"status": {"conditions": entries}}
            await self.kube.patch(NODE, name_of(node), None, body, type="strategic", subresource="status")
            self.recorder.normal(node, "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady")
        taints = dig(node, "spec", "taints", default=[])
        if not any(taint.get("key") == UNREACHABLE for taint in taints):
            added = [
                {"key": UNREACHABLE, "effect": effect, "timeAdded": now()} for effect in ("NoSchedule", "NoExecute")
            ]
            labels = {"labels": {SCHEDULABLE: "false"}}
            await self.kube.patch(NODE, name_of(node), None, {"metadata": labels, "spec": {"taints": taints + added}})
        for pod in self.pods.items.values():
            if self._is_on(pod, node):
                await self._unready(pod)

    def _unknown(self, entry: Obj) -> Obj:
        if entry["type"] not in CONDITION_TYPES:
            return entry
        return {
            **entry,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": STOPPED,
            "lastTransitionTime": now(),
        }

    async def _unready(self, pod: Obj) -> None:
        ready = condition(pod, "Ready")
        if ready is None or ready.get("status") != "True" or phase_of(pod) in ("Succeeded", "Failed"):
            return
        self._ready_before[uid_of(pod)] = ready
        await self._put_ready(pod, {**ready, "status": "False", "lastTransitionTime": now()})
        self.recorder.warning(pod, "NodeNotReady", "Node is not ready")

    async def _put_ready(self, pod: Obj, ready: Obj) -> None:
        body = {"status": {"conditions": [ready]}}
        try:
            await self.kube.patch(POD, name_of(pod), namespace_of(pod), body, type="strategic", subresource="status")
        except KubeError as error:
            if not error.not_found:
                raise
