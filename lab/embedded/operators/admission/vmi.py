"""Admission of VirtualMachineInstances: defaults, the first status, checks, and who may change what. Pure.

Rules: upstream mutators/vmi-mutator.go, pkg/defaults, admitters/vmi-{create,update}-admitter.go.
"""

from __future__ import annotations

import uuid

from lab.embedded.operators import names, quantity
from lab.embedded.operators.admission.causes import NOT_SUPPORTED, Cause
from lab.embedded.operators.admission.network import Subject, network_causes
from lab.embedded.operators.admission.spec import (
    RESERVED_LABELS,
    body_causes,
    label_causes,
    memory_causes,
    spec_causes,
)
from lab.embedded.operators.admission.vm import ARCHITECTURE, MACHINE
from lab.embedded.operators.objects import Obj, add_finalizer, dig, enter_phase, labels_of

REQUIRED_IN_BODY = ("spec", "spec.domain", "spec.domain.devices")
RESTRICTED = "update of VMI object is restricted"
LABELS_RESTRICTED = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"


def default(vmi: Obj, *, eviction_strategy: str = "", network_binding: str = "masquerade") -> None:
    """What a new VMI gets, in place: spec defaults, finalizer, annotations and phase Pending."""
    spec = vmi.get("spec")
    if isinstance(spec, dict) and isinstance(spec.get("domain"), dict):
        spec.setdefault("architecture", ARCHITECTURE)
        if eviction_strategy:
            spec.setdefault("evictionStrategy", eviction_strategy)
        _default_domain(spec["domain"])
        _default_network(spec, network_binding)
        _default_disks(spec)
    add_finalizer(vmi, names.VMI_FINALIZER)
    annotations = vmi["metadata"].get("annotations") or {}
    vmi["metadata"]["annotations"] = {**annotations, names.LATEST_API: "v1", names.STORAGE_API: "v1"}
    vmi["status"] = {"guestOSInfo": {}, "runtimeUser": 107}
    enter_phase(vmi, "Pending")


def _default_domain(domain: Obj) -> None:
    if not dig(domain, "machine", "type"):
        domain["machine"] = {**(domain.get("machine") or {}), "type": MACHINE}
    cpu = domain["cpu"] = dict(domain.get("cpu") or {})
    for part in ("cores", "sockets", "threads"):
        cpu.setdefault(part, 1)
    cpu.setdefault("model", "host-model")
    features = domain["features"] = dict(domain.get("features") or {})
    features.setdefault("acpi", {})
    firmware = domain["firmware"] = dict(domain.get("firmware") or {})
    firmware.setdefault("uuid", str(uuid.uuid4()))
    _default_memory(domain)


def _default_memory(domain: Obj) -> None:
    """Guest memory and request stand in for each other; a malformed quantity is left to the checks."""
    guest, asked = dig(domain, "memory", "guest"), dig(domain, "resources", "requests", "memory")
    asked = asked or dig(domain, "resources", "limits", "memory")
    try:
        for text in (guest, asked):
            quantity.parse(text or "0")
    except ValueError:
        return
    if guest is None and asked is not None:
        domain["memory"] = {**(domain.get("memory") or {}), "guest": asked}
    wanted = guest if guest is not None else asked
    if wanted is not None and not dig(domain, "resources", "requests", "memory"):
        resources = domain["resources"] = dict(domain.get("resources") or {})
        resources["requests"] = {**(resources.get("requests") or {}), "memory": wanted}


def _default_network(spec: Obj, binding: str) -> None:
    devices = spec["domain"].setdefault("devices", {})
    if not isinstance(devices, dict) or devices.get("autoattachPodInterface") is False:
        return
    if not spec.get("networks") and not devices.get("interfaces"):
        devices["interfaces"] = [{"name": "default", binding: {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]


def _default_disks(spec: Obj) -> None:
    """A volume without a disk gets one; a disk without a bus is on sata, as on amd64 upstream."""
    devices = spec["domain"].get("devices")
    if not isinstance(devices, dict):
        return
    disks = [disk or {} for disk in devices.get("disks") or []]
    filesystems = {entry.get("name") for entry in devices.get("filesystems") or [] if entry}
    known = {disk.get("name") for disk in disks} | filesystems
    named = [volume.get("name", "") for volume in spec.get("volumes") or [] if volume]
    disks += [{"name": name} for name in named if name not in known]
    for disk in disks:
        kind = next((key for key in ("disk", "cdrom", "lun") if disk.get(key) is not None), "disk")
        disk[kind] = {"bus": "sata", **(disk.get(kind) or {})}
    if disks:
        devices["disks"] = disks


def keep_status(vmi: Obj, old: Obj) -> None:
    """A user's change of the status is undone silently, in place."""
    if "status" in old:
        vmi["status"] = old["status"]
    else:
        vmi.pop("status", None)


def create_causes(vmi: Obj, *, kubevirt_user: bool, pod_bridge_allowed: bool = True) -> list[Cause]:
    missing = body_causes(vmi, REQUIRED_IN_BODY)
    if missing:
        return missing
    spec = vmi["spec"]
    found = network_causes(Subject("spec", spec, pod_bridge_allowed)) + spec_causes("spec", spec)
    found += memory_causes(spec)
    return found if kubevirt_user else found + label_causes("metadata", labels_of(vmi))


def update_causes(vmi: Obj, old: Obj, *, kubevirt_user: bool) -> list[Cause]:
    """KubeVirt's own programs may change anything; a user neither the spec nor the reserved labels."""
    if kubevirt_user:
        return []
    if vmi.get("spec") != old.get("spec"):
        return [Cause(NOT_SUPPORTED, RESTRICTED)]
    if any(labels_of(vmi).get(key) != labels_of(old).get(key) for key in RESERVED_LABELS):
        return [Cause(NOT_SUPPORTED, LABELS_RESTRICTED, "metadata.labels")]
    return []
