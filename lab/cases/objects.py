"""A customer's YAML, sorted and made to fit this lab; whatever is changed or left out is told. Pure but for reading.

A target already replaces image, login, addresses, NICs of known bonds and node selector (see lab/kubevirt/manifest.py,
lab/nmstate/manifest.py). Here goes what only a stranger's manifest has: disks that exist nowhere else, other names.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from lab.access.kinds import Obj
from lab.cases.document import FILE, Case
from lab.core.errors import UsageError
from lab.core.yamls import reading
from lab.kubevirt import manifest
from lab.multus import attachment

POLICY, NAD, VM = "NodeNetworkConfigurationPolicy", "NetworkAttachmentDefinition", "VirtualMachine"
LIMIT = 4 << 20
"""Bytes of one file: an export of a whole cluster is no case."""
NOT_HERE = ("instancetype", "preference", "dataVolumeTemplates")
ELSEWHERE = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints")
OF_A_CLUSTER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences",
                "finalizers", "selfLink")  # fmt: skip
LOGIN = "#cloud-config\nusers:\n- name: virtlab\n  lock_passwd: false\n  sudo: ALL=(ALL) NOPASSWD:ALL\n"
NETWORK = "version: 2\nethernets:\n  eth0:\n    match: {macaddress: ''}\n"


@dataclass
class Objects:
    """By name, in the order of the files. ``told`` is what was changed or left out, in words."""

    policies: dict[str, Obj] = field(default_factory=dict)
    nads: dict[str, Obj] = field(default_factory=dict)
    vms: dict[str, Obj] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def read(places: Sequence[Path]) -> Objects:
    """Every object of files, and of the YAML files in folders, case.yaml left aside.

    Raises:
        UsageError: a file is no YAML, is too large, or an object has no kind or name, or one name is there twice.
    """
    found = Objects()
    stated: list[tuple[Obj, str, str, Path]] = []
    rooms = {POLICY: found.policies, NAD: found.nads, VM: found.vms}
    for path in (path for place in places for path in _files(place)):
        for body in _documents(path):
            meta = body.get("metadata")
            kind, name = str(body.get("kind", "")), str((meta if isinstance(meta, dict) else {}).get("name", ""))
            if not kind or not name:
                raise UsageError("objects with a kind and a name", f"kind {kind!r}, name {name!r}", str(path))
            if kind not in rooms:
                found.told.append(f"{kind} {name} ({path.name}) is left out: only policies, attachments and VMs matter")
            elif name in rooms[kind]:
                raise UsageError(f"each {kind} once", f"{name} is there twice", str(path), "take one out")
            else:
                stated.append((body, kind, name, path))
                rooms[kind][name] = _plain(body)
    for one in stated:
        _check(*one)
    return found


@cache
def _rules(kind: str) -> Draft202012Validator:
    rules: Obj = json.loads(Path(__file__).with_name("objects.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator({**rules, "allOf": [{"$ref": "#/$defs/object"}, {"$ref": f"#/$defs/{kind}"}]})


def _check(body: Obj, kind: str, name: str, path: Path) -> None:
    """Raises UsageError for the first part that is not of the type that its kind has there."""
    error = best_match(_rules(kind).iter_errors(body))
    if error is not None:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
        found = repr(error.instance)[:100] if error.validator != "required" else error.message
        wanted = "what its kind has there" if error.validator == "required" else error.message.rpartition("is not ")[2]
        raise UsageError(f"{kind} {name[:80]!r}, {where or 'its top'}: {wanted[:100]}", found, str(path))


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    # A pipe or a device would never end.
    return [
        path for path in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]) if path.name != FILE and path.is_file()
    ]


def _documents(path: Path) -> Iterator[Obj]:
    if path.stat().st_size > LIMIT:
        raise UsageError(f"a file of at most {LIMIT >> 20} MiB", f"{path.stat().st_size} bytes", str(path))
    try:
        text = path.read_text(encoding="utf-8")
        documents = reading(lambda: list(yaml.safe_load_all(text)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError("YAML", str(getattr(error, "problem", None) or error), f"{path}{line}") from error
    for body in documents:
        if body is None:
            continue
        items = body.get("items") if isinstance(body, dict) and str(body.get("kind", "")).endswith("List") else None
        for one in items if isinstance(items, list) else [body]:
            if not isinstance(one, dict):
                raise UsageError("Kubernetes objects", f"a {type(one).__name__}", str(path))
            yield one


def _plain(body: Obj) -> Obj:
    """An object as it was written, without what a cluster added to it (``oc get -o yaml``)."""
    meta = {k: v for k, v in body["metadata"].items() if k not in OF_A_CLUSTER}
    return {k: v for k, v in body.items() if k != "status"} | {"metadata": meta}


def fit(found: Objects, case: Case) -> Objects:
    """A copy for the target. Raises UsageError for a NAD without a readable configuration."""
    made = Objects(told=list(found.told))
    for name, policy in found.policies.items():
        made.policies[name] = _renamed(policy, case.nics)
    for name, nad in found.nads.items():
        vlan = case.vlans.get(attachment.read_attachment(nad).vlan)
        namespace = str(nad["metadata"].get("namespace", "default"))
        made.nads[name] = attachment.adapted(nad, namespace=namespace, vlan=vlan)
        if vlan:
            made.told.append(f"attachment {name}: VLAN {vlan} in place of {attachment.read_attachment(nad).vlan}")
    made.vms = {name: _vm(name, vm, made.told) for name, vm in found.vms.items()}
    return made


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """NICs by their names here; a NIC's name is never part of a longer word."""
    if isinstance(value, dict):
        return {key: _renamed(below, names) for key, below in value.items()}
    if isinstance(value, list):
        return [_renamed(below, names) for below in value]
    return names.get(value, value) if isinstance(value, str) else value


def _vm(name: str, vm: Obj, told: list[str]) -> Obj:
    result = copy.deepcopy(vm)
    spec = result["spec"]
    inner = ((spec.get("template") or {}).get("spec")) or {}
    if "domain" not in inner:
        raise UsageError("a VM with spec.template.spec.domain", "it has none", f"{VM} {name}")
    for holder, keys in ((spec, NOT_HERE), (inner, ELSEWHERE)):
        for key in keys:
            if holder.pop(key, None) is not None:
                told.append(f"VM {name}: {key} is left out: it names what only the customer's cluster has")
    if spec.pop("running", None) is not None or "runStrategy" not in spec:
        spec["runStrategy"] = "Always"
    for network in inner.get("networks") or []:
        if "multus" in network:
            # The scenario has its attachments in its own namespace.
            network["multus"]["networkName"] = str(network["multus"].get("networkName", "")).rpartition("/")[2]
    # On the pod network the address comes by DHCP, which is what a guest does without network data.
    inner["volumes"] = _volumes(name, inner, "" if manifest.on_pod_network(result) else NETWORK, told)
    return result


def _volumes(name: str, inner: Obj, network: str, told: list[str]) -> list[Obj]:
    """One disk to boot, of the target's image, and one with the login; others' contents are not here."""
    volumes = [v for v in inner.get("volumes") or [] if "containerDisk" in v or "cloudInitNoCloud" in v]
    gone = {str(v.get("name")) for v in inner.get("volumes") or []} - {str(v.get("name")) for v in volumes}
    devices = inner["domain"].setdefault("devices", {})
    devices["disks"] = [d for d in devices.get("disks") or [] if d.get("name") not in gone]
    if gone:
        told.append(f"VM {name}: the target's image in place of {', '.join(sorted(gone))}")
    if not any("containerDisk" in v for v in volumes):
        volumes.insert(0, {"name": "rootdisk", "containerDisk": {"image": ""}})
        devices["disks"].insert(0, {"name": "rootdisk", "disk": {"bus": "virtio"}})
    if not any("cloudInitNoCloud" in v for v in volumes):
        volumes.append({"name": "cloudinitdisk", "cloudInitNoCloud": {}})
        devices["disks"].append({"name": "cloudinitdisk", "disk": {"bus": "virtio"}})
    for volume in volumes:
        if (cloud := volume.get("cloudInitNoCloud")) is not None:
            if "userData" not in cloud:
                cloud["userData"] = LOGIN
                told.append(f"VM {name}: a login for virtlab is added, for its own cannot be read here")
            if network:
                cloud.setdefault("networkData", network)
    return volumes
