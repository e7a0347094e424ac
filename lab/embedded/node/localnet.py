"""Secondary networks of the localnet kind, as NADs and pods describe them, in OVN-Kubernetes' words.

Pure: from API objects to names and figures of the northbound database.  What cannot be used is left out here; the
CNI says why when a pod wants it, as upstream does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from lab.embedded.kube import Obj
from lab.embedded.reading import json_of

NETWORKS = "k8s.v1.cni.cncf.io/networks"


def prefix(network: str) -> str:
    """Upstream's prefix of a secondary network's objects: ``vlan-2024`` -> ``vlan.2024_``."""
    return network.replace("-", ".").replace("/", ".") + "_"


def port_name(nad_key: str, pod: Obj) -> str:
    """The logical port of ``pod`` on the network of the NAD ``namespace/name``; also its iface-id."""
    meta = pod["metadata"]
    return f"{prefix(nad_key)}{meta['namespace']}_{meta['name']}"


@dataclass(frozen=True)
class Localnet:
    """A localnet network as its NADs describe it; several NADs may name the same one."""

    name: str
    physical: str
    vlan: int | None

    @property
    def switch(self) -> str:
        return f"{prefix(self.name)}ovn_localnet_switch"

    @property
    def port(self) -> str:
        return f"{prefix(self.name)}ovn_localnet_port"


def localnet_of(nad: Obj) -> Localnet | None:
    """The localnet network a NAD asks for, or None when it is of another type or unusable.

    An unusable one is reported by the CNI when a pod wants it, as upstream does.
    """
    try:
        config = json_of(nad.get("spec", {}).get("config") or "")
    except ValueError:
        return None
    if not isinstance(config, dict) or config.get("type") != "ovn-k8s-cni-overlay":
        return None
    meta = nad["metadata"]
    name, vlan = config.get("name"), config.get("vlanID")
    physical = config.get("physicalNetworkName") or name
    if config.get("topology") != "localnet" or not (usable(name) and usable(physical)):
        return None
    if config.get("netAttachDefName") != f"{meta['namespace']}/{meta['name']}":
        return None
    if vlan is not None and not (isinstance(vlan, int) and 1 <= vlan <= 4094):
        return None
    return Localnet(name, physical, vlan)


def usable(name: Any) -> TypeGuard[str]:
    """Whether a network may have that name: beyond upstream, what cannot be printed would come back in messages and
    on command lines."""
    return isinstance(name, str) and bool(name) and name.isprintable()


def requests_of(pod: Obj) -> Iterator[tuple[str, dict[str, Any]]]:
    """The NAD keys a pod asks for with their options; a malformed annotation asks for nothing here."""
    meta = pod["metadata"]
    text = (meta.get("annotations") or {}).get(NETWORKS, "").strip()
    if not text:
        return
    try:
        wanted = json_of(text) if text.startswith("[") else [_short(part) for part in text.split(",")]
    except ValueError:
        return
    for item in wanted:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield f"{item.get('namespace') or meta['namespace']}/{item['name']}", item


def _short(part: str) -> dict[str, Any]:
    where, _, interface = part.strip().partition("@")
    namespace, _, name = where.rpartition("/")
    return {"name": name, "namespace": namespace or None, "interface": interface}


def made_up_mac(pod: Obj, nad_key: str) -> str:
    """A locally administered MAC for an interface nobody fixed one for; stable for the pod."""
    digest = hashlib.sha256(f"{pod['metadata'].get('uid')}/{nad_key}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
