"""The scheduler: binds pods that have no node, one after the other, and says why when there is none for them.

Decisions are `placement`'s; this room only gathers the world, binds, and reports. All pods share one key: a decision
must know the ones before it, also those that the informer has not shown yet (`_assumed`).
"""

from __future__ import annotations

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NAMESPACE, NODE, POD
from lab.embedded.operators.objects import (
    Obj,
    condition,
    conditions_of,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    now,
    uid_of,
)
from lab.embedded.operators.placement import World, decide, wants_scheduling
from lab.embedded.operators.reconcile import Controller
from lab.embedded.operators.recorder import Recorder

ALL = "pods"


class Scheduler(Controller):
    """One key for all pods; any change of a pod, or a telling one of a node, looks at the waiting ones again."""

    def __init__(self, kube: Kube, informers: Informers, recorder: Recorder) -> None:
        super().__init__("scheduler")
        self.kube, self.recorder = kube, recorder
        self.pods, self.nodes = informers.get(POD), informers.get(NODE)
        self.namespaces = informers.get(NAMESPACE)
        self._assumed: dict[str, str] = {}
        self._seen: dict[str, object] = {}
        self.watch(self.pods, lambda _pod: (ALL,))
        self.watch(self.nodes, lambda node: (ALL,) if self._telling(node) else ())

    async def reconcile(self, key: str) -> float | None:
        self._forget()
        waiting = [
            pod for pod in self.pods.items.values() if wants_scheduling(pod) and uid_of(pod) not in self._assumed
        ]
        waiting.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), key_of(pod)))
        failed = False
        for pod in waiting:
            try:
                await self._place(pod)
            except KubeError as error:
                # One pod that cannot be bound must not keep the others waiting.
                failed = failed or not (error.not_found or error.status == 409)
                self.log.info("%s: %s", key_of(pod), error)
        return 1.0 if failed else None

    async def _place(self, pod: Obj) -> None:
        decision = decide(pod, self._world())
        if not decision.node:
            await self._refuse(pod, decision.message)
            return
        namespace, name = namespace_of(pod), name_of(pod)
        self._assumed[uid_of(pod)] = decision.node
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": decision.node},
        }
        try:
            await self.kube.raw("POST", POD.path(namespace, name, "binding"), body=binding)
        except KubeError:
            self._assumed.pop(uid_of(pod), None)
            raise
        self.recorder.normal(pod, "Scheduled", f"Successfully assigned {namespace}/{name} to {decision.node}")

    async def _refuse(self, pod: Obj, message: str) -> None:
        known = condition(pod, "PodScheduled") or {}
        if known.get("reason") == "Unschedulable" and known.get("message") == message:
            return
        entry = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": known.get("lastTransitionTime") or now(),
        }
        body = {"status": {"conditions": [entry]}}
        await self.kube.patch(POD, name_of(pod), namespace_of(pod), body, type="strategic", subresource="status")
        self.recorder.warning(pod, "FailedScheduling", message)

    def _world(self) -> World:
        pods = []
        for pod in self.pods.items.values():
            node = self._assumed.get(uid_of(pod))
            pods.append({**pod, "spec": {**pod["spec"], "nodeName": node}} if node else pod)
        return World.of(self.nodes.items.values(), pods, self.namespaces.items.values())

    def _forget(self) -> None:
        """Drop assumptions that the informer has caught up with, and those about pods that are gone."""
        unbound = {uid_of(pod) for pod in self.pods.items.values() if not dig(pod, "spec", "nodeName")}
        self._assumed = {uid: node for uid, node in self._assumed.items() if uid in unbound}

    def _telling(self, node: Obj) -> bool:
        """Whether a node's event may change a decision: heartbeats do not."""
        ready = next((entry.get("status") for entry in conditions_of(node) if entry.get("type") == "Ready"), "")
        facts = (labels_of(node), dig(node, "spec"), dig(node, "status", "allocatable"), ready)
        if self._seen.get(name_of(node)) == facts:
            return False
        self._seen[name_of(node)] = facts
        return True
