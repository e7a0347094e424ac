"""The objects an agent makes for its node: the Node itself and its system pods. Pure builders.

A pod listed here stands for programs that really run on the node (OVS, OVN, the agent's components); its
status is written by the kubelet once they have answered.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.embedded.model.spec import AGENT_PORT, NodeSpec
from lab.embedded.node.names import now

Obj = dict[str, Any]
KUBELET_VERSION = "v1.31.9"
LEASE_SECONDS = 40
BRIDGE_PREFIX = "bridge.network.kubevirt.io/"
DEVICES = ("kvm", "tun", "vhost-net")


@dataclass(frozen=True)
class SystemPod:
    """A host-network pod that every node has."""

    namespace: str
    prefix: str
    labels: dict[str, str]
    containers: tuple[str, ...]


SYSTEM_PODS = (
    SystemPod(
        "ovn-kubernetes",
        "ovnkube-node",
        {"app": "ovnkube-node", "component": "network", "ovn-db-pod": "true"},
        ("nb-ovsdb", "sb-ovsdb", "ovn-northd", "ovn-controller", "ovnkube-controller"),
    ),
    SystemPod(
        "nmstate",
        "nmstate-handler",
        {"component": "kubernetes-nmstate-handler", "app": "kubernetes-nmstate"},
        ("nmstate-handler",),
    ),
    SystemPod("kubevirt", "virt-handler", {"kubevirt.io": "virt-handler"}, ("virt-handler",)),
)


def suffix(*parts: str) -> str:
    """Five characters as of a generated pod name, stable for ``parts``."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return "".join(alphabet[octet % len(alphabet)] for octet in digest[:5])


def memory_kib() -> int:
    """Memory of this machine in KiB; all nodes share it."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def resources(bridges: Iterable[str], known: Iterable[str] = ()) -> Obj:
    """Capacity: the machine's, devices as KubeVirt's device plugin publishes them, one resource per Linux bridge.

    ``known`` are the resources that the Node has now: those of bridges that are gone are None, which removes them in a
    strategic merge. Upstream's bridge marker does the same, but looks once a minute only.
    """
    found = {
        "cpu": str(max(8, os.cpu_count() or 1)),
        "memory": f"{memory_kib()}Ki",
        "ephemeral-storage": "64Gi",
        "pods": "110",
        "hugepages-2Mi": "0",
    }
    found |= {f"devices.kubevirt.io/{name}": "1k" for name in DEVICES}
    here = {f"{BRIDGE_PREFIX}{bridge}": "1k" for bridge in bridges}
    gone = [name for name in known if name.startswith(BRIDGE_PREFIX) and name not in here]
    return found | here | dict.fromkeys(gone)


def labels(node: NodeSpec) -> dict[str, str]:
    """Labels a harness selects nodes by."""
    return {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "node-role.kubernetes.io/worker": "",
        "kubevirt.io/schedulable": "true",
        "virtlab.dev/node": node.name,
    }


def node_object(node: NodeSpec) -> Obj:
    """The Node as it is first registered."""
    return {"metadata": {"name": node.name, "labels": labels(node), "annotations": {}}, "spec": {}}


def node_status(node: NodeSpec, ready: list[str], amount: Obj, uuid: str) -> Obj:
    """Node.status; ``ready`` names what did not answer yet (empty: Ready), ``amount`` is `resources`."""
    return {
        "capacity": amount,
        "allocatable": amount,
        "addresses": [
            {"type": "InternalIP", "address": node.machine_ip},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": AGENT_PORT}},
        "nodeInfo": {
            "machineID": uuid.replace("-", ""),
            "systemUUID": uuid,
            "bootID": uuid,
            "kernelVersion": platform.release(),
            "osImage": "virtlab embedded node",
            "containerRuntimeVersion": "virtlab://1.0",
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": KUBELET_VERSION,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
        "conditions": _conditions(ready),
    }


def _conditions(waiting: list[str]) -> list[Obj]:
    stamp = now()

    def entry(type: str, status: str, reason: str, message: str) -> Obj:
        times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
        return {"type": type, "status": status, "reason": reason, "message": message, **times}

    found = [
        entry("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        entry("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        entry("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    if waiting:
        text = f"container runtime network not ready: no answer yet from {', '.join(waiting)}"
        return [*found, entry("Ready", "False", "KubeletNotReady", text)]
    return [*found, entry("Ready", "True", "KubeletReady", "kubelet is posting ready status")]


def keep_transitions(fresh: list[Obj], known: list[Obj]) -> None:
    """Conditions that did not change keep the time of their last change."""
    before = {condition["type"]: condition for condition in known}
    for condition in fresh:
        old = before.get(condition["type"])
        if old and old.get("status") == condition["status"] and old.get("lastTransitionTime"):
            condition["lastTransitionTime"] = old["lastTransitionTime"]


def lease(node: NodeSpec, stamp: str) -> Obj:
    """The node's heartbeat; ``stamp`` has microseconds."""
    spec = {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp}
    return {"metadata": {"name": node.name, "namespace": "kube-node-lease"}, "spec": spec}


def system_pod(kind: SystemPod, node: NodeSpec, owner: Obj) -> Obj:
    """One of the node's own pods; the Node owns it, so that it goes with the node."""
    return {
        "metadata": {
            "name": f"{kind.prefix}-{suffix(kind.prefix, node.name)}",
            "namespace": kind.namespace,
            "labels": dict(kind.labels),
            "annotations": {"kubectl.kubernetes.io/default-container": kind.containers[-1]},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": owner["metadata"]["uid"]},
            ],
        },
        "spec": {
            "nodeName": node.name,
            "hostNetwork": True,
            "restartPolicy": "Always",
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": name, "image": f"virtlab/{name}:node"} for name in kind.containers],
        },
    }
