"""A documented VirtualMachine on this lab: what a target changes in it, and nothing else. Pure.

Changed are name, namespace, labels, image, login, addresses, MAC address and where it may run. The MAC address must be
set: OVN binds a port to one address and makes a new port for each migration (OVN-Kubernetes
pkg/ovn/base_network_controller_pods.go), so that a VM without a fixed one goes dark after its first.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lab.access.kinds import Obj
from lab.core.errors import UsageError

SPREAD_LABEL = "virtlab.dev/spread"
CLOUD_CONFIG = "#cloud-config\n"


@dataclass(frozen=True)
class Changes:
    """What differs from the manifest; everything empty is left as documented."""

    namespace: str
    labels: Mapping[str, str]
    image: str = ""
    addresses: Sequence[str] = ()
    """With prefix length, as network-data wants them."""
    mac: str = ""
    user: str = ""
    password: str = ""
    public_key: str = ""
    memory_mib: int = 0
    node_selector: Mapping[str, str] | None = None
    spread: str = ""
    """VMs with the same text run on different nodes."""


def adapted(vm: Obj, changes: Changes) -> Obj:
    """A copy of the manifest for this lab.

    Raises:
        UsageError: the manifest has no interface, or none with a fixed MAC address and none was given.
    """
    result = copy.deepcopy(vm)
    meta, template = result["metadata"], result["spec"]["template"]
    meta["namespace"] = changes.namespace
    meta["labels"] = {**(meta.get("labels") or {}), **changes.labels}
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels.update(changes.labels)
    spec = template["spec"]
    mac = _set_mac(result, changes.mac)
    if changes.memory_mib:
        spec["domain"].setdefault("memory", {})["guest"] = f"{changes.memory_mib}Mi"
    for volume in spec.get("volumes") or []:
        if changes.image and "containerDisk" in volume:
            volume["containerDisk"]["image"] = changes.image
        if "cloudInitNoCloud" in volume:
            _set_cloud_init(volume["cloudInitNoCloud"], changes, mac)
    if changes.node_selector:
        spec["nodeSelector"] = dict(changes.node_selector)
    if changes.spread:
        labels[SPREAD_LABEL] = changes.spread
        spec["affinity"] = _apart(changes.spread)
    return result


def _set_mac(vm: Obj, mac: str) -> str:
    found = interfaces(vm)
    name = vm["metadata"].get("name")
    if not found:
        raise UsageError("an interface in the VM", "it has none", f"VirtualMachine {name}", "add one with its network")
    if on_pod_network(vm):
        return ""
    if mac:
        found[0]["macAddress"] = mac
    if not found[0].get("macAddress"):
        raise UsageError(
            "a fixed MAC address",
            f"interface {found[0].get('name')!r} has none",
            f"VirtualMachine {name}",
            "set macAddress: OVN binds the port to it, and a migration makes a new port",
        )
    return str(found[0]["macAddress"])


def interfaces(vm: Obj) -> list[dict[str, Any]]:
    """The interfaces of a VM's template."""
    devices = vm["spec"]["template"]["spec"]["domain"].get("devices") or {}
    return list(devices.get("interfaces") or [])


def on_pod_network(vm: Obj) -> bool:
    """Whether a VM's first interface is on the pod network."""
    networks = {network.get("name"): network for network in vm["spec"]["template"]["spec"].get("networks") or []}
    return any("pod" in networks.get(first.get("name"), {}) for first in interfaces(vm)[:1])


def mac_of(vm: Obj) -> str:
    """The MAC address of the first interface."""
    return str(interfaces(vm)[0].get("macAddress", "")).lower()


def addresses_of(vm: Obj) -> tuple[str, ...]:
    """The addresses of the first interface in a VM's network-data, without prefix length."""
    for volume in vm["spec"]["template"]["spec"].get("volumes") or []:
        for ethernet in _ethernets(volume).values():
            return tuple(str(a).partition("/")[0] for a in ethernet.get("addresses") or ())
    return ()


def leases(vm: Obj) -> bool:
    """Whether the network data asks for DHCP."""
    return any(
        ethernet.get("dhcp4")
        for volume in vm["spec"]["template"]["spec"].get("volumes") or []
        for ethernet in _ethernets(volume).values()
    )


def _ethernets(volume: dict[str, Any]) -> dict[str, Any]:
    data = yaml.safe_load((volume.get("cloudInitNoCloud") or {}).get("networkData") or "") or {}
    return dict(data.get("ethernets") or {})


def _set_cloud_init(volume: dict[str, Any], changes: Changes, mac: str) -> None:
    if network := yaml.safe_load(volume.get("networkData") or ""):
        ethernet = next(iter(network["ethernets"].values()))
        if mac:
            ethernet.setdefault("match", {})["macaddress"] = mac
        if changes.addresses:
            ethernet["addresses"] = list(changes.addresses)
        volume["networkData"] = yaml.safe_dump(network, sort_keys=False)
    if user_data := yaml.safe_load(volume.get("userData") or ""):
        user = (user_data.get("users") or [{}])[0]
        if changes.user:
            user["name"] = changes.user
        if changes.password:
            user["plain_text_passwd"] = changes.password
        if changes.public_key:
            user["ssh_authorized_keys"] = [changes.public_key]
        volume["userData"] = CLOUD_CONFIG + yaml.safe_dump(user_data, sort_keys=False)


def _apart(spread: str) -> dict[str, Any]:
    term = {
        "labelSelector": {"matchLabels": {SPREAD_LABEL: spread}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
