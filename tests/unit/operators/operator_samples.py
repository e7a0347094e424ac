"""Objects that the tests of the operators start from."""

from __future__ import annotations

from typing import Any

from lab.embedded.operators.objects import clone

Obj = dict[str, Any]
IMAGE = "quay.io/kubevirt/virt-launcher:v1.8.0"

VMI_SPEC: Obj = {
    "domain": {
        "memory": {"guest": "128Mi"},
        "devices": {
            "interfaces": [
                {"name": "default", "masquerade": {}},
                {"name": "vlan2024", "bridge": {}, "macAddress": "02:00:00:20:24:11"},
            ],
            "disks": [{"name": "rootdisk", "disk": {"bus": "virtio"}}],
        },
    },
    "networks": [
        {"name": "default", "pod": {}},
        {"name": "vlan2024", "multus": {"networkName": "default/vlan-2024"}},
    ],
    "volumes": [{"name": "rootdisk", "containerDisk": {"image": "quay.io/containerdisks/fedora:latest"}}],
}


def vm(name: str = "vm", strategy: str = "Always", **more: Any) -> Obj:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": "demo", "uid": f"uid-{name}", "generation": 1},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": {"app": name}}, "spec": clone(VMI_SPEC)}},
        **more,
    }


def vmi(name: str = "vm", phase: str = "Running", node: str = "worker-1", **status: Any) -> Obj:
    obj: Obj = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": "demo", "uid": f"uid-vmi-{name}", "labels": {"app": name}},
        "spec": clone(VMI_SPEC),
        "status": {"phase": phase, **status},
    }
    if node:
        obj["status"]["nodeName"] = node
        obj["metadata"]["labels"]["kubevirt.io/nodeName"] = node
    return obj


def nad(name: str = "vlan-2024", namespace: str = "default", resource: str = "") -> Obj:
    annotations = {"k8s.v1.cni.cncf.io/resourceName": resource} if resource else {}
    return {"metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": {"config": "{}"}}


def pod(name: str = "p", node: str = "", phase: str = "Pending", ready: bool = False, **spec: Any) -> Obj:
    status: Obj = {"phase": phase}
    if phase == "Running":
        status["containerStatuses"] = [{"name": "compute", "ready": ready}]
    obj: Obj = {
        "metadata": {"name": name, "namespace": "demo", "uid": f"uid-{name}", "labels": {}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
        "status": status,
    }
    if node:
        obj["spec"]["nodeName"] = node
    return obj


def node(name: str, ready: str = "True", **labels: str) -> Obj:
    known = {"kubernetes.io/hostname": name, "kubevirt.io/schedulable": "true"}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": known | {k.replace("__", "/"): v for k, v in labels.items()},
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110", "devices.kubevirt.io/tun": "1k"},
        },
    }
