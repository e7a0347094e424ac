"""Checks of a VMI spec beside its networks, and the raw-body checks. Pure.

Rules: upstream pkg/virt-api/webhooks/validating-webhook/admitters (vmi-create-admitter.go, vms-admitter.go) and
pkg/util/openapi (what the body must hold).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lab.embedded.operators import names, quantity
from lab.embedded.operators.admission.causes import DUPLICATE, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from lab.embedded.operators.objects import Obj, dig

VOLUME_SOURCES = (
    "hostDisk",
    "persistentVolumeClaim",
    "cloudInitNoCloud",
    "cloudInitConfigDrive",
    "sysprep",
    "containerDisk",
    "containerPath",
    "ephemeral",
    "emptyDisk",
    "dataVolume",
    "configMap",
    "secret",
    "downwardAPI",
    "serviceAccount",
    "downwardMetrics",
    "memoryDump",
)
EVICTION_STRATEGIES = ("None", "LiveMigrate", "LiveMigrateIfPossible", "External")
RESERVED_LABELS = (
    names.CREATED_BY,
    names.MIGRATION_JOB_UID,
    names.NODE_NAME,
    names.MIGRATION_TARGET_NODE,
    names.SCHEDULABLE,
    "kubevirt.io/install-strategy",
)
INLINE_LIMIT = 2048
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NO_MEMORY = (
    "no memory requested, at least one of 'spec.domain.memory.guest', 'spec.domain.memory.hugepages.pageSize' "
    "or 'spec.domain.resources.requests.memory' must be set"
)


def spec_causes(path: str, spec: Obj) -> list[Cause]:
    """Every mistake of a VMI spec known as `path`."""
    checks = (_hostname, _memory, _volumes, _disks, _cloud_init, _eviction)
    return [cause for check in checks for cause in check(path, spec)]


def memory_causes(spec: Obj) -> list[Cause]:
    """Asked of a VMI only: a VM without memory is admitted and fails to start."""
    domain = spec.get("domain") or {}
    asked = (
        dig(domain, "memory", "guest"),
        dig(domain, "memory", "hugepages", "pageSize"),
        dig(domain, "resources", "requests", "memory"),
    )
    return [] if any(asked) else [Cause(REQUIRED, NO_MEMORY, "")]


def label_causes(path: str, labels: Mapping[str, str]) -> list[Cause]:
    """Labels that only KubeVirt may set; `path` is that of the metadata."""
    if not any(key in labels for key in RESERVED_LABELS):
        return []
    text = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
    return [Cause(NOT_SUPPORTED, text, f"{path}.labels")]


def body_causes(body: Obj, required: tuple[str, ...]) -> list[Cause]:
    """What the raw body lacks: `spec.template.spec.domain in body is required`; the outermost gap only."""
    for path in required:
        value: Any = body
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return [Cause("", f"{path} in body is required")]
    return []


def unknown_field_causes(body: Any, schema: Obj, path: str = "") -> list[Cause]:
    """Fields that the CRD's schema does not know: `spec.x in body is a forbidden property`."""
    if isinstance(body, list):
        items = schema.get("items") or {}
        return [cause for entry in body for cause in unknown_field_causes(entry, items, path)]
    known = schema.get("properties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("additionalProperties")
    if not isinstance(body, dict) or known is None or open_ended:
        return []
    causes = []
    for key, value in body.items():
        here = f"{path}.{key}" if path else key
        if key in known:
            causes += unknown_field_causes(value, known[key], here)
        elif path:
            causes.append(Cause("", f"{here} in body is a forbidden property"))
    return causes


def _hostname(path: str, spec: Obj) -> Iterator[Cause]:
    hostname = spec.get("hostname")
    if hostname and not (DNS_LABEL.fullmatch(hostname) and len(hostname) <= 63):
        text = f"{path}.hostname does not conform to the kubernetes DNS_LABEL rules : {hostname}"
        yield Cause(INVALID, text, f"{path}.hostname")


def _memory(path: str, spec: Obj) -> Iterator[Cause]:
    where = f"{path}.domain.memory.guest"
    guest, limit = dig(spec, "domain", "memory", "guest"), dig(spec, "domain", "resources", "limits", "memory")
    try:
        sizes = [quantity.parse(text) for text in (guest, limit) if text is not None]
    except ValueError as error:
        yield Cause(INVALID, f"{where}: {error}", where)
        return
    if guest is not None and sizes[0] < quantity.MI:
        yield Cause(INVALID, f"{where} '{guest}' must be greater than or equal to 1Mi.", where)
    if len(sizes) == 2 and sizes[0] > sizes[1]:
        bound = f"{path}.domain.resources.limits.memory '{limit}'"
        text = f"{where} '{guest}' must be equal to or less than the memory limit {bound}."
        yield Cause(INVALID, text, where)


def _volumes(path: str, spec: Obj) -> Iterator[Cause]:
    first: dict[str, int] = {}
    for index, volume in enumerate(spec.get("volumes") or []):
        where, name = f"{path}.volumes[{index}]", volume.get("name", "")
        if name in first:
            text = f"{where} and {path}.volumes[{first[name]}] must not have the same Name."
            yield Cause(DUPLICATE, text, f"{where}.name")
        first.setdefault(name, index)
        if sum(volume.get(source) is not None for source in VOLUME_SOURCES) != 1:
            yield Cause(INVALID, f"{where} must have exactly one source type set", where)


def _disks(path: str, spec: Obj) -> Iterator[Cause]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    first: dict[str, int] = {}
    for index, disk in enumerate(dig(spec, "domain", "devices", "disks", default=[])):
        where, name = f"{path}.domain.devices.disks[{index}]", disk.get("name", "")
        if name in first:
            text = f"{where} and {path}.domain.devices.disks[{first[name]}] must not have the same Name."
            yield Cause(INVALID, text, f"{where}.name")
        first.setdefault(name, index)
        if name not in volumes:
            yield Cause(INVALID, f"{where}.Name '{name}' not found.", f"{where}.name")


def _cloud_init(path: str, spec: Obj) -> Iterator[Cause]:
    for index, volume in enumerate(spec.get("volumes") or []):
        for kind in ("cloudInitNoCloud", "cloudInitConfigDrive"):
            source = volume.get(kind)
            if source is not None:
                yield from _cloud_init_source(f"{path}.volumes[{index}].{kind}", source)


def _cloud_init_source(where: str, source: Obj) -> Iterator[Cause]:
    present = {}
    for what, prefix, reference in (
        ("userdata", "userData", "UserDataSecretRef"),
        ("networkdata", "networkData", "NetworkDataSecretRef"),
    ):
        keys = [key for key in ("secretRef" if prefix == "userData" else "networkDataSecretRef",) if source.get(key)]
        keys += [key for key in (f"{prefix}Base64", prefix) if source.get(key)]
        present[what] = keys
        if len(keys) > 1:
            label = "userdatasource" if what == "userdata" else "networkdata source"
            yield Cause(INVALID, f"{where} must have only one {label} set.", where)
        elif keys:
            yield from _inline_data(where, what, keys[0], str(source[keys[0]]), reference)
    if not any(present.values()):
        text = f"{where} must have at least one userdatasource or one networkdatasource set."
        yield Cause(INVALID, text, where)


def _inline_data(where: str, what: str, key: str, text: str, reference: str) -> Iterator[Cause]:
    if key.lower().endswith("secretref"):
        return
    data = text.encode()
    if key.endswith("Base64"):
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            yield Cause(INVALID, f"{where}.{key} is not a valid base64 value.", f"{where}.{key}")
            return
    if len(data) > INLINE_LIMIT:
        message = f"{where} {what} exceeds {INLINE_LIMIT} byte limit. Should use {reference} for larger data."
        yield Cause(INVALID, message, where)


def _eviction(path: str, spec: Obj) -> Iterator[Cause]:
    strategy = spec.get("evictionStrategy")
    if strategy and strategy not in EVICTION_STRATEGIES:
        where = f"{path}.evictionStrategy"
        yield Cause(INVALID, f"{where} is set with an unrecognized option: {strategy}", where)
