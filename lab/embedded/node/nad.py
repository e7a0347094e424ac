"""What a pod asks Multus for and what an attachment definition says: parsing and checking, nothing else.

Texts are upstream's: Multus (pkg/k8sclient), OVN-Kubernetes (pkg/util/multi_network.go, pkg/config/cni.go),
libcni.  A mistake is found here, when a pod wants the network: no webhook looks at these strings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.embedded.node.bridgeconf import BRIDGES, MAC, TUNERS, ipam_type
from lab.embedded.node.cnierror import CniError, interface_name
from lab.embedded.node.localnet import usable
from lab.embedded.reading import json_of

Obj = dict[str, Any]
NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
OVN = "ovn-k8s-cni-overlay"


@dataclass(frozen=True)
class Request:
    """One element of the networks annotation."""

    namespace: str
    name: str
    ifname: str
    mac: str = ""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Network:
    """A checked attachment: ``plugin`` is ovn or bridge, ``chain`` its plugins' own configurations, never empty."""

    name: str
    plugin: str
    chain: tuple[Obj, ...]

    @property
    def conf(self) -> Obj:
        """What makes the interface."""
        return self.chain[0]

    @property
    def physical(self) -> str:
        """Which localnet of the node's bridge mappings it needs."""
        return str(self.conf.get("physicalNetworkName") or self.name)


def requests(annotation: str, namespace: str) -> list[Request]:
    """The elements of `k8s.v1.cni.cncf.io/networks`, short form or JSON. Raises CniError."""
    text = annotation.strip()
    if not text:
        return []
    if text.startswith(("[", "{")):
        return [_from_json(entry, namespace, index) for index, entry in enumerate(_json_list(text), 1)]
    return [_short(part.strip(), namespace, index) for index, part in enumerate(text.split(","), 1)]


def _json_list(text: str) -> list[Any]:
    try:
        found = json_of(text)
    except ValueError as error:
        what = "failed to parse pod Network Attachment Selection Annotation JSON format"
        raise CniError(f"parsePodNetworkAnnotation: {what}: {error}") from error
    if not isinstance(found, list):
        raise CniError("parsePodNetworkAnnotation: wanted a JSON list of networks")
    return found


def _from_json(entry: Any, namespace: str, index: int) -> Request:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise CniError(f"parsePodNetworkAnnotation: element {index} has no name: {entry!r}")
    ifname = entry.get("interface") or entry.get("interfaceRequest") or f"net{index}"
    mac = str(entry.get("mac") or "")
    if mac and not MAC.fullmatch(mac):
        raise CniError(f'failed to parse mac address "{mac}"')
    namespace = str(entry.get("namespace") or namespace)
    return Request(namespace, entry["name"], interface_name(str(ifname)), mac.lower())


def _short(text: str, namespace: str, index: int) -> Request:
    where, _, ifname = text.partition("@")
    ns, _, name = where.rpartition("/")
    if not name or "/" in ns:
        raise CniError(f'parsePodNetworkObjectName: Invalid network object (failed at "{text}")')
    return Request(ns or namespace, name, interface_name(ifname or f"net{index}"))


def network_of(nad: Obj, key: str) -> Network:
    """The network a NAD describes. Raises CniError with upstream's words."""
    text = nad.get("spec", {}).get("config") or ""
    if not text.strip():
        raise CniError(f"could not find config file for network {key}: spec.config is empty")
    try:
        conf = json_of(text)
    except ValueError as error:
        raise CniError(
            f"GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config: {error}"
        ) from error
    if not isinstance(conf, dict):
        raise CniError("GetCNIConfig: err in getCNIConfigFromSpec: Spec.Config is no JSON object")
    plugins = conf.get("plugins")
    if plugins is not None:
        return _list(conf, plugins, nad)
    if not conf.get("type"):
        raise CniError('error parsing configuration: missing "type"')
    if conf["type"] == OVN:
        return _ovn(conf, nad)
    return _bridge([conf], str(conf.get("name") or key))


def _list(conf: Obj, plugins: Any, nad: Obj) -> Network:
    if not isinstance(plugins, list) or not plugins or not all(isinstance(p, dict) for p in plugins):
        raise CniError("error parsing configuration list: no plugins in list")
    name = conf.get("name")
    if not name:
        raise CniError("error parsing configuration list: no name")
    for plugin in plugins[1:]:
        if plugin.get("type") not in TUNERS:
            raise CniError(f'failed to find plugin "{plugin.get("type")}" in path [/opt/cni/bin]')
    if plugins[0].get("type") == OVN:
        return _ovn({**plugins[0], "name": name}, nad)
    return _bridge(plugins, str(name))


def _bridge(plugins: list[Obj], name: str) -> Network:
    """The plugins read their own configurations when they run."""
    if plugins[0].get("type") not in BRIDGES:
        raise CniError(f'failed to find plugin "{plugins[0].get("type")}" in path [/opt/cni/bin]')
    return Network(name, "bridge", tuple(plugins))


def _ovn(conf: Obj, nad: Obj) -> Network:
    meta = nad["metadata"]
    key = f"{meta['namespace']}/{meta['name']}"
    name = conf.get("name")
    if not usable(name):
        raise CniError(f"invalid name in in secondary network netconf ({name or ''})")
    if name in ("default", "ovn-kubernetes"):
        raise CniError(f"network name {name!r} is reserved for the cluster's default network")
    declared = conf.get("netAttachDefName")
    if not declared:
        raise CniError(f"missing NADName in secondary network netconf {name}")
    if declared != key:
        raise CniError(f"net-attach-def name ({key}) is inconsistent with config ({declared})")
    if ipam_type(conf):
        raise CniError("IPAM key is not supported. Use OVN-K provided IPAM via the `subnets` attribute")
    if conf.get("topology") != "localnet":
        raise CniError(f"topology {conf.get('topology')!r} of network {name} is not available here: only localnet is")
    vlan = conf.get("vlanID")
    if vlan is not None and (not isinstance(vlan, int) or isinstance(vlan, bool) or not 1 <= vlan <= 4094):
        raise CniError(f"invalid vlanID {vlan!r} in network {name}: must be between 1 and 4094")
    if not usable(conf.get("physicalNetworkName") or name):
        raise CniError(f"invalid physicalNetworkName {conf['physicalNetworkName']!r} in network {name}")
    mtu = conf.get("mtu")
    if mtu is not None and (type(mtu) is not int or not 0 <= mtu < 65536):
        raise CniError(f"invalid mtu {mtu!r} in network {name}: must be between 0 and 65535")
    if conf.get("allowPersistentIPs") and not conf.get("subnets"):
        raise CniError("cannot allow persistent IPs on networks without subnets")
    return Network(name, "ovn", (conf,))


def mappings(text: str) -> dict[str, str]:
    """`a:br1,b:br2` of ovn-bridge-mappings as bridge by localnet."""
    pairs = (part.strip().partition(":") for part in text.split(",") if part.strip())
    return {localnet: bridge for localnet, _, bridge in pairs}


def check_mapping(network: Network, known: dict[str, str]) -> None:
    """Raise CniError when the node maps no bridge to the network's localnet."""
    if network.physical not in known:
        raise CniError(
            f'failed bridge mapping validation: failed to find OVN bridge-mapping for network: "{network.physical}"'
        )


def not_found(request: Request) -> CniError:
    """The words for a NAD that is not there."""
    return CniError(
        f"cannot find a network-attachment-definition ({request.name}) in namespace ({request.namespace}): "
        f'network-attachment-definitions.k8s.cni.cncf.io "{request.name}" not found',
        reason="NoNetworkFound",
    )


def sandbox_failure(pod: Obj, sandbox: str, message: str) -> str:
    """The message of a FailedCreatePodSandBox event."""
    meta = pod["metadata"]
    ns, name, uid = meta["namespace"], meta["name"], meta["uid"]
    return (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod network sandbox "
        f"k8s_{name}_{ns}_{uid}_0({sandbox}): error adding pod {ns}_{name} to CNI network "
        f'"multus-cni-network": plugin type="multus" name="multus-cni-network" failed (add): {message}'
    )
