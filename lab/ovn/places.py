"""Where a cluster keeps its northbound databases: which pods, which container, one for each node or one for all.

Upstream and OpenShift call namespaces and containers differently, and both changed over the releases, so they are
looked for by label in all namespaces, and by the containers that a pod has (the CNO's manifests; upstream's charts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.access.client import Client
from lab.access.errors import Forbidden
from lab.access.kinds import POD, Obj
from lab.core.deadline import Deadline
from lab.core.errors import OperatorMissing
from lab.ovn.inventory import CONTAINERS
from lab.target.inventory import Component

Mode = Literal["interconnect", "central"]
DATABASE = ("nbdb", "nb-ovsdb")
"""Containers in which a northbound server runs: OpenShift's name, upstream's."""
ZONES = ("app=ovnkube-node", "app=ovnkube-zone-controller")
CENTRAL = ("app=ovnkube-master", "name=ovnkube-master", "name=ovnkube-db", "ovn-db-pod=true")
NAMESPACES = ("openshift-ovn-kubernetes", "ovn-kubernetes")


@dataclass(frozen=True)
class Place:
    """A database: exec into `container` of the pod. `node` is empty for a central one, which is every node's."""

    namespace: str
    pod: str
    container: str
    node: str = ""

    @property
    def client(self) -> str:
        """What people call there: ``oc`` on OpenShift."""
        return "oc" if self.namespace.startswith("openshift") else "kubectl"

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod} ({self.container})"


@dataclass(frozen=True)
class Places:
    """All databases of a cluster, and (what, why) of those that cannot be asked."""

    mode: Mode
    places: tuple[Place, ...]
    missing: tuple[tuple[str, str], ...] = ()


def find(client: Client, component: Component | None, *, deadline: Deadline) -> Places:
    """Where to ask. *component*: what the target file says, tried first.

    Raises:
        OperatorMissing: no pod with a northbound database runs here.
        AccessDenied, ApiDown: as Client.list.
    """
    seen: list[str] = []
    for mode, selectors in (("interconnect", ZONES), ("central", CENTRAL)):
        first = [component.labels] if component is not None and mode == "interconnect" else []
        for selector in dict.fromkeys([*first, *selectors]):
            pods = list(_pods(client, selector, component, deadline))
            seen += [f"{len(pods)} pods {selector}"] if pods else []
            having = [pod for pod in pods if _container(pod, DATABASE)]
            if having:
                return _central(having) if mode == "central" else _zones(having)
    raise OperatorMissing(
        "pods of OVN-Kubernetes with a northbound database",
        f"none has a container {' or '.join(DATABASE)}; there are: {', '.join(seen) or 'no such pods'}",
        client.server,
        "is this cluster's network OVN-Kubernetes? else name namespace, labels and containers in platform.ovn",
    )


def _pods(client: Client, selector: str, component: Component | None, deadline: Deadline) -> Iterator[Obj]:
    """In all namespaces; who may not list all of them still may in those that are known."""
    try:
        yield from client.list(POD, labels=selector, deadline=deadline)
        return
    except Forbidden as error:
        refused = error
    allowed = False
    for namespace in dict.fromkeys([*([component.namespace] if component is not None else []), *NAMESPACES]):
        try:
            yield from client.list(POD, namespace, labels=selector, deadline=deadline)
            allowed = True
        except Forbidden:
            continue
    if not allowed:
        raise refused


def _container(pod: Obj, names: tuple[str, ...]) -> str:
    have = {str(c["name"]) for c in (pod.get("spec") or {}).get("containers") or ()}
    return next((name for name in names if name in have), "")


def _phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "unknown")


def _place(pod: Obj, node: str) -> Place:
    meta = pod["metadata"]
    return Place(str(meta["namespace"]), str(meta["name"]), _container(pod, CONTAINERS), node)


def _zones(pods: list[Obj]) -> Places:
    """One for each node; of a pod that is replaced just now, the one that runs."""
    by_node: dict[str, Place] = {}
    missing: dict[str, str] = {}
    for pod in sorted(pods, key=lambda p: str(p["metadata"].get("creationTimestamp", ""))):
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if _phase(pod) == "Running" and not pod["metadata"].get("deletionTimestamp"):
            by_node[node] = _place(pod, node)
        else:
            missing[node or str(pod["metadata"]["name"])] = f"pod {pod['metadata']['name']} is {_phase(pod)}"
    gone = tuple((f"zone {node}", why) for node, why in sorted(missing.items()) if node not in by_node)
    return Places("interconnect", tuple(by_node[node] for node in sorted(by_node)), gone)


def _central(pods: list[Obj]) -> Places:
    """Any member of the raft cluster that runs will do; the others have the same rows."""
    running = [pod for pod in pods if _phase(pod) == "Running" and not pod["metadata"].get("deletionTimestamp")]
    ready = [pod for pod in running if _ready(pod)] or running
    chosen = tuple(_place(pod, "") for pod in sorted(ready, key=lambda p: str(p["metadata"]["name"]))[:1])
    missing = () if chosen else tuple((str(p["metadata"]["name"]), f"it is {_phase(p)}") for p in pods)
    return Places("central", chosen, missing)


def _ready(pod: Obj) -> bool:
    states = (pod.get("status") or {}).get("containerStatuses") or []
    return bool(states) and all(state.get("ready") for state in states)
