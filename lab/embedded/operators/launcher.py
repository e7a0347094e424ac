"""The virt-launcher pod of a VMI: rendered, not created. Pure.

Rules: upstream pkg/virt-controller/services/template.go (podLabels, generatePodAnnotations, RenderMigrationManifest),
renderresources.go and pkg/network/multus/annotation.go. Container disks are taken as image volumes, so that a launcher
has one container.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.embedded.model.kinds import VMI
from lab.embedded.operators import names, quantity
from lab.embedded.operators.objects import Obj, annotations_of, clone, dig, labels_of, name_of, namespace_of, uid_of
from lab.embedded.operators.objects import owner_reference as owner_reference_of

GUEST_GRACE_SECONDS = 30
LAUNCHER_GRACE_SECONDS = 30
# virt-launcher-monitor, virt-launcher, virtlogd, virtqemud and qemu itself (upstream GetMemoryOverhead).
PROCESS_OVERHEAD_MI = 25 + 100 + 25 + 40 + 30
CPU_ALLOCATION_RATIO = 10


class RenderError(Exception):
    """The pod cannot be rendered; the text is the message of upstream's Synchronized condition."""


@dataclass(frozen=True)
class LauncherConfig:
    """What the KubeVirt CR decides about launchers."""

    image: str
    use_emulation: bool = True


def render(vmi: Obj, attachments: Mapping[str, Obj], config: LauncherConfig) -> Obj:
    """The pod manifest for a VMI; `attachments` are the NADs by `namespace/name`. Raises RenderError."""
    spec: Obj = vmi["spec"]
    pod_spec: Obj = {
        "restartPolicy": "Never",
        "hostname": names.hostname(spec.get("hostname") or name_of(vmi)),
        "subdomain": spec.get("subdomain"),
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _grace(spec) + LAUNCHER_GRACE_SECONDS,
        "securityContext": {"runAsUser": 107, "runAsGroup": 107, "runAsNonRoot": True, "fsGroup": 107},
        "readinessGates": [{"conditionType": names.UNPAUSED_GATE}],
        "nodeSelector": {**(spec.get("nodeSelector") or {}), names.SCHEDULABLE: "true"},
        "affinity": clone(spec["affinity"]) if spec.get("affinity") else None,
        "tolerations": clone({"": spec["tolerations"]})[""] if spec.get("tolerations") else None,
        "schedulerName": spec.get("schedulerName"),
        "priorityClassName": spec.get("priorityClassName"),
        "dnsPolicy": spec.get("dnsPolicy"),
        "dnsConfig": spec.get("dnsConfig"),
        "containers": [_compute(vmi, attachments, config)],
        "volumes": [{"name": name, "emptyDir": {}} for name in ("private", "public", "sockets", "libvirt-runtime")],
    }
    return {
        "metadata": {
            "generateName": f"virt-launcher-{name_of(vmi)}-",
            "namespace": namespace_of(vmi),
            "labels": pod_labels(vmi),
            "annotations": pod_annotations(vmi),
            "ownerReferences": [owner_reference_of(vmi, VMI.api_version, VMI.kind)],
        },
        "spec": {key: value for key, value in pod_spec.items() if value is not None},
    }


def needs_privileged(vmi: Obj, refusal: str, pod: str = "pod") -> str:
    """What virt-controller says when PodSecurity took no launcher; empty for any other refusal.

    Upstream: pkg/virt-controller/watch. A launcher names no seccomp profile, so `restricted` never takes one.
    """
    if "violates PodSecurity" not in refusal:
        return ""
    place = f"{namespace_of(vmi)}/{name_of(vmi)}"
    return f"failed to create {pod} for vmi {place}, it needs a privileged namespace to run: {refusal}"


def render_target(
    vmi: Obj, migration: Obj, attachments: Mapping[str, Obj], config: LauncherConfig, image: str = ""
) -> Obj:
    """The pod that a migration moves the VMI into: away from every node that runs a pod of this VMI."""
    pod = render(vmi, attachments, config)
    pod["metadata"]["labels"][names.MIGRATION_JOB_UID] = uid_of(migration)
    pod["metadata"]["labels"].pop(names.NODE_NAME, None)
    pod["metadata"]["annotations"][names.MIGRATION_JOB_NAME] = name_of(migration)
    pod["metadata"]["annotations"].pop(names.TARGET_READY, None)
    term = {
        "labelSelector": {"matchLabels": {names.CREATED_BY: uid_of(vmi)}},
        "topologyKey": names.HOSTNAME_KEY,
    }
    anti = pod["spec"].setdefault("affinity", {}).setdefault("podAntiAffinity", {})
    anti.setdefault("requiredDuringSchedulingIgnoredDuringExecution", []).append(term)
    added = dig(migration, "spec", "addedNodeSelector", default={})
    pod["spec"]["nodeSelector"] = {**added, **pod["spec"]["nodeSelector"]}
    if image:
        pod["spec"]["containers"][0]["image"] = image
    return pod


def pod_labels(vmi: Obj) -> dict[str, str]:
    inherited = {key: value for key, value in labels_of(vmi).items() if key != names.MIGRATION_TARGET_NODE}
    return {
        **inherited,
        names.APP: names.LAUNCHER,
        names.CREATED_BY: uid_of(vmi),
        names.VM_NAME: names.hostname(dig(vmi, "spec", "hostname", default="") or name_of(vmi)),
        names.VMI_ID: names.label_value(name_of(vmi)),
    }


def pod_annotations(vmi: Obj) -> dict[str, str]:
    annotations = {
        key: value
        for key, value in annotations_of(vmi).items()
        if not key.startswith("kubectl.kubernetes.io") and not key.endswith("observed-api-version")
    }
    annotations |= {
        names.DOMAIN: name_of(vmi),
        "kubectl.kubernetes.io/default-container": "compute",
        "kubevirt.io/migrationTransportUnix": "true",
        "descheduler.alpha.kubernetes.io/request-evict-only": "",
    }
    if any("masquerade" in interface for interface in _interfaces(vmi["spec"])):
        annotations["traffic.sidecar.istio.io/kubevirtInterfaces"] = "k6t-eth0"
    networks = multus_networks(vmi)
    if networks:
        annotations[names.NETWORKS] = json.dumps(networks, separators=(",", ":"))
    for network in vmi["spec"].get("networks") or []:
        if dig(network, "multus", "default", default=False):
            annotations[names.DEFAULT_NETWORK] = network["multus"]["networkName"]
    return annotations


def multus_networks(vmi: Obj) -> list[dict[str, str]]:
    """The value of `k8s.v1.cni.cncf.io/networks`: one element per secondary network, mac only when fixed."""
    interfaces = {interface["name"]: interface for interface in _interfaces(vmi["spec"])}
    elements = []
    for network in vmi["spec"].get("networks") or []:
        multus = network.get("multus")
        interface = interfaces.get(network["name"], {})
        if not multus or multus.get("default") or interface.get("state") == "absent":
            continue
        namespace, name = attachment_key(multus["networkName"], namespace_of(vmi)).split("/", 1)
        element = {"name": name, "namespace": namespace}
        if interface.get("macAddress"):
            element["mac"] = str(interface["macAddress"])
        elements.append({**element, "interface": names.pod_interface(network["name"])})
    return elements


def attachment_key(network_name: str, namespace: str) -> str:
    """`ns/name` as it stands, `name` in the VMI's own namespace."""
    return network_name if "/" in network_name else f"{namespace}/{network_name}"


def memory_bytes(spec: Obj) -> float:
    """The guest's memory in bytes: guest, else the request, else nothing."""
    domain = spec.get("domain") or {}
    text = dig(domain, "memory", "guest") or dig(domain, "resources", "requests", "memory") or 0
    return quantity.parse(text)


def vcpus(spec: Obj) -> int:
    cpu = dig(spec, "domain", "cpu", default={})
    return math.prod(int(cpu.get(part) or 1) for part in ("cores", "sockets", "threads"))


def _compute(vmi: Obj, attachments: Mapping[str, Obj], config: LauncherConfig) -> Obj:
    spec = vmi["spec"]
    requests, limits = _resources(vmi, attachments, config)
    return {
        "name": "compute",
        "image": config.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/usr/bin/virt-launcher-monitor",
            *("--qemu-timeout", "300s"),
            *("--name", name_of(vmi)),
            *("--uid", uid_of(vmi)),
            *("--namespace", namespace_of(vmi)),
            *("--kubevirt-share-dir", "/var/run/kubevirt"),
            *("--ephemeral-disk-dir", "/var/run/kubevirt-ephemeral-disks"),
            *("--grace-period-seconds", str(_grace(spec) + LAUNCHER_GRACE_SECONDS // 2)),
        ],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsUser": 107,
            "runAsGroup": 107,
            "runAsNonRoot": True,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "private", "mountPath": "/var/run/kubevirt-private"},
            {"name": "public", "mountPath": "/var/run/kubevirt"},
            {"name": "sockets", "mountPath": "/var/run/kubevirt/sockets"},
            {"name": "libvirt-runtime", "mountPath": "/var/run/libvirt"},
        ],
    }


def _resources(vmi: Obj, attachments: Mapping[str, Obj], config: LauncherConfig) -> tuple[Obj, Obj]:
    spec = vmi["spec"]
    overhead = _overhead(spec)
    wanted: Mapping[str, Any] = dig(spec, "domain", "resources", "requests", default={})
    memory = quantity.parse(wanted["memory"]) if wanted.get("memory") else memory_bytes(spec)
    requests: Obj = {
        "cpu": str(wanted["cpu"]) if wanted.get("cpu") else f"{vcpus(spec) * 1000 // CPU_ALLOCATION_RATIO}m",
        "memory": quantity.mebibytes(memory + overhead),
        "ephemeral-storage": "50M",
    }
    limits: Obj = {}
    capped: Mapping[str, Any] = dig(spec, "domain", "resources", "limits", default={})
    if capped.get("cpu"):
        limits["cpu"] = str(capped["cpu"])
    if capped.get("memory"):
        limits["memory"] = quantity.mebibytes(quantity.parse(capped["memory"]) + overhead)
    extended = ["devices.kubevirt.io/tun", "devices.kubevirt.io/vhost-net"]
    if not config.use_emulation:
        extended.append("devices.kubevirt.io/kvm")
    counts = dict.fromkeys(extended, 1)
    for resource in _network_resources(vmi, attachments):
        counts[resource] = counts.get(resource, 0) + 1
    for resource, count in counts.items():
        requests[resource] = limits[resource] = str(count)
    return requests, limits


def _network_resources(vmi: Obj, attachments: Mapping[str, Obj]) -> list[str]:
    found = []
    for network in vmi["spec"].get("networks") or []:
        if not network.get("multus"):
            continue
        key = attachment_key(network["multus"]["networkName"], namespace_of(vmi))
        attachment = attachments.get(key)
        if attachment is None:
            raise RenderError(f"failed to locate network attachment definition {key}")
        resource = annotations_of(attachment).get(names.RESOURCE_NAME)
        if resource:
            found.append(resource)
    return found


def _overhead(spec: Obj) -> float:
    """Bytes that the launcher needs beside the guest's memory (upstream GetMemoryOverhead, without devices)."""
    page_tables = memory_bytes(spec) / 512
    return page_tables + (PROCESS_OVERHEAD_MI + 8 * vcpus(spec) + 8 + 16) * quantity.MI


def _grace(spec: Obj) -> int:
    value = spec.get("terminationGracePeriodSeconds")
    return GUEST_GRACE_SECONDS if value is None else int(value)


def _interfaces(spec: Obj) -> list[Obj]:
    found: list[Obj] = dig(spec, "domain", "devices", "interfaces", default=[])
    return found
