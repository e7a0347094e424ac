"""The pods of the operators themselves: virt-api, on whose network port-forwards are dialled, and virt-controller.

Their programs run beside the cluster, in one process. The pod of virt-controller shows the log of that process, as a
container that follows its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path

from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import NODE, POD
from lab.embedded.operators import names
from lab.embedded.operators.objects import (
    Obj,
    age,
    condition,
    deleting,
    dig,
    has_condition,
    labels_of,
    name_of,
    namespace_of,
    phase_of,
    uid_of,
)
from lab.embedded.operators.reconcile import Controller

LABEL = names.VIRT_API_LABEL.partition("=")[0]
PATIENCE_S = 60.0
"""How long a node may be silent before its pod is made anew elsewhere: 300 s upstream, which a lab's clock shortens."""


def system_pods(version: str, log: Path | None) -> dict[str, Obj]:
    """The pods wanted, by the value of their label; virt-controller only where there is a log to show."""
    pods = {"virt-api": _pod("virt-api", version)}
    if log is not None:
        shown = _pod("virt-controller", version)
        shown["spec"]["hostNetwork"] = True
        shown["spec"]["containers"][0]["command"] = ["tail", "-n", "+1", "-F", str(log)]
        pods["virt-controller"] = shown
    return pods


def _pod(name: str, version: str) -> Obj:
    return {
        "metadata": {
            "generateName": f"{name}-",
            "namespace": names.SYSTEM_NAMESPACE,
            "labels": {LABEL: name, "app.kubernetes.io/component": "kubevirt"},
        },
        "spec": {
            "containers": [{"name": name, "image": f"quay.io/kubevirt/{name}:{version}"}],
            "terminationGracePeriodSeconds": 0,
        },
    }


class SystemPods(Controller):
    """Keeps one pod of each sort on a node that is alive."""

    def __init__(self, kube: Kube, informers: Informers, wanted: Mapping[str, Obj]) -> None:
        super().__init__("system-pods")
        self.kube, self.wanted = kube, dict(wanted)
        self.pods, self.nodes = informers.get(POD), informers.get(NODE)
        self.watch(self.pods, lambda pod: (sort,) if (sort := self._sort(pod)) else ())
        self.watch(self.nodes, lambda node: () if has_condition(node, "Ready") else tuple(self.wanted))
        for sort in self.wanted:
            self.enqueue(sort)

    async def reconcile(self, key: str) -> float | None:
        ours = [pod for pod in self.pods.items.values() if self._sort(pod) == key]
        left = {uid_of(pod): self._left(pod) for pod in ours}
        good = [pod for pod in ours if left[uid_of(pod)] > 0]
        for pod in ours:
            if pod not in good and not deleting(pod):
                await self._delete(pod)
        if not good:
            made = await self.kube.create(POD, self.wanted[key])
            await self.pods.wait_for(lambda items: any(uid_of(pod) == uid_of(made) for pod in items.values()), 10.0)
        soon = min((left[uid_of(pod)] for pod in good), default=inf)
        return None if soon == inf else soon + 0.1

    def _sort(self, pod: Obj) -> str:
        """Which of the wanted pods one is; empty for any other."""
        value = labels_of(pod).get(LABEL, "")
        return value if namespace_of(pod) == names.SYSTEM_NAMESPACE and value in self.wanted else ""

    def _left(self, pod: Obj) -> float:
        """For how many seconds a pod is good yet: for ever on a node that is alive, or where it has none yet."""
        if deleting(pod) or phase_of(pod) in ("Succeeded", "Failed"):
            return 0.0
        name = dig(pod, "spec", "nodeName")
        node = self.nodes.items.get(name)
        if not name or has_condition(node, "Ready"):
            return inf
        return PATIENCE_S - age(dig(condition(node, "Ready"), "lastTransitionTime")) if node else 0.0

    async def _delete(self, pod: Obj) -> None:
        try:
            # Without grace: its node may be gone, and nothing is lost with it.
            await self.kube.delete(POD, name_of(pod), namespace_of(pod), uid=uid_of(pod), grace=0)
        except KubeError as error:
            if not error.not_found:
                raise
