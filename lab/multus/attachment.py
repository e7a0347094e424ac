"""Network attachments: a documented NAD in another namespace, and what a NAD says. Pure.

The two names of a NAD are different things: ``name`` in its config is the cluster-wide network, which a node policy's
bridge mapping refers to and which must not change; ``netAttachDefName`` must repeat the NAD's own place (OVN-Kubernetes
go-controller/pkg/util/multi_network.go: "net-attach-def name (ns/x) is inconsistent with config (y)").
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from lab.access.kinds import Obj
from lab.core.errors import UsageError

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
RESOURCE = "k8s.v1.cni.cncf.io/resourceName"
"""KubeVirt asks the scheduler for one of it, for each VM on the network."""
BRIDGE_PLUGINS = ("bridge", "cnv-bridge")


@dataclass(frozen=True)
class Attachment:
    """What a NAD says; ``localnet`` is the name that bridge mappings use, ``vlan`` 0 when untagged."""

    namespace: str
    name: str
    network: str
    localnet: str
    topology: str
    vlan: int
    bridge: str = ""
    """The Linux bridge that its pods are plugged into; empty for a network of OVN."""
    resource: str = ""
    """What a node must offer for VMs on it; empty when any node will do."""


def config_of(nad: Obj) -> dict[str, Any]:
    """The CNI configuration inside a NAD.

    Raises:
        UsageError: it is no JSON object; the message shows where it stops being one.
    """
    text = str((nad.get("spec") or {}).get("config") or "")
    where = f"NetworkAttachmentDefinition {nad.get('metadata', {}).get('name')}, spec.config"
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("a CNI configuration in JSON", f"{error}: {text[:200]!r}", where) from error
    if not isinstance(config, dict):
        raise UsageError("a CNI configuration (a JSON object)", f"{text[:200]!r}", where)
    plugins = config.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(plugin, dict) for plugin in plugins):
        raise UsageError("a CNI configuration whose plugins are JSON objects", f"{plugins!r}"[:200], where)
    for holder in (config, *plugins):
        for key in ("vlanID", "vlan"):
            if not isinstance(holder.get(key) or 0, int):
                raise UsageError(f"a number for {key}", f"{holder[key]!r}"[:200], where)
    return config


def read_attachment(nad: Obj) -> Attachment:
    """A NAD, typed."""
    config = config_of(nad)
    meta = nad["metadata"]
    network = str(config.get("name", ""))
    first: dict[str, Any] = next(iter(config.get("plugins") or [config]), {})
    bridged = first.get("type") in BRIDGE_PLUGINS
    return Attachment(
        namespace=str(meta.get("namespace", "default")),
        name=str(meta["name"]),
        network=network,
        localnet=str(config.get("physicalNetworkName") or network),
        topology=str(config.get("topology", "")),
        vlan=int(config.get("vlanID") or (first.get("vlan") if bridged else 0) or 0),
        bridge=str(first.get("bridge") or "cni0") if bridged else "",
        resource=str((meta.get("annotations") or {}).get(RESOURCE, "")),
    )


def adapted(nad: Obj, *, namespace: str, vlan: int | None = None) -> Obj:
    """A copy for another namespace and, if given, another VLAN; the network's own name stays."""
    result = copy.deepcopy(nad)
    result["metadata"]["namespace"] = namespace
    config = config_of(result)
    if "netAttachDefName" in config:
        config["netAttachDefName"] = f"{namespace}/{result['metadata']['name']}"
    if vlan is not None and "vlanID" in config:
        config["vlanID"] = vlan
    result["spec"]["config"] = json.dumps(config, indent=2)
    return result
