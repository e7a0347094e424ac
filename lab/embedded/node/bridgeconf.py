"""What the bridge and the tuning plugin are told, checked as they check it: pure, nothing is done here.

`cnv-bridge` and `cnv-tuning` are those plugins under OpenShift's names.  Fields, order of the checks and texts are
upstream's: containernetworking/plugins, plugins/main/bridge/bridge.go and plugins/meta/tuning/tuning.go.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.node.cnierror import CniError, interface_name

Obj = dict[str, Any]
BRIDGES = ("bridge", "cnv-bridge")
TUNERS = ("tuning", "cnv-tuning")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
ALWAYS = frozenset({"args", "bridge", "cniVersion", "hairpinMode", "ipam", "mtu", "name", "promiscMode", "type"})
"""What the bridge plugin knows since ever. One from before v0.8.0 says nothing of `vlan` and what came after it."""
GO_TYPES: dict[type, str] = {bool: "bool", int: "int", str: "string"}
# OpenShift's list, cluster-network-operator bindata/network/multus/004-sysctl-configmap.yaml.
ALLOWED_SYSCTLS = (
    *(f"^net.ipv4.conf.IFNAME.{name}$" for name in (
        "accept_redirects", "accept_source_route", "arp_accept", "arp_notify", "disable_policy", "rp_filter",
        "secure_redirects", "send_redirects",
    )),
    *(f"^net.ipv6.conf.IFNAME.{name}$" for name in (
        "accept_ra", "accept_redirects", "accept_source_route", "arp_accept", "arp_notify", "disable_ipv6",
        "disable_policy",
    )),
    *(f"^net.ipv6.neigh.IFNAME.{name}$" for name in ("base_reachable_time_ms", "retrans_time_ms")),
)  # fmt: skip


@dataclass(frozen=True)
class BridgeConf:
    """The bridge plugin's configuration. ``mtu`` 0 is the kernel's default; ``mac`` empty lets the plugin choose."""

    bridge: str = "cni0"
    mtu: int = 0
    mac: str = ""
    vlan: int = 0
    trunk: tuple[int, ...] = ()
    preserve_default_vlan: bool = False
    hairpin: bool = False
    promiscuous: bool = False
    isolated: bool = False
    spoof_check: bool = False
    interface_down: bool = False

    @property
    def tags(self) -> bool:
        """Whether the bridge must filter VLANs for it."""
        return bool(self.vlan or self.trunk)


@dataclass(frozen=True)
class Tuning:
    """What one tuning plugin changes; empty or zero leaves a thing as it is. ``sysctls`` are path -> value."""

    mac: str = ""
    mtu: int = 0
    promiscuous: bool = False
    allmulti: bool | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)


def bridge_conf(conf: Obj, requested_mac: str = "") -> BridgeConf:
    """The configuration of `bridge`; ``requested_mac`` is Multus' word of the pod's wish. Raises CniError."""
    vlan, trunk = _typed(conf, "vlan", int), _trunk(conf.get("vlanTrunk"))
    if not 0 <= vlan <= 4094:
        raise CniError(f"invalid VLAN ID {vlan} (must be between 0 and 4094)")
    if vlan and trunk:
        raise CniError("cannot set vlan and vlanTrunk at the same time")
    down = _typed(conf, "disableContainerInterface", bool)
    ipam = ipam_type(conf)
    if ipam and down:
        raise CniError("cannot use IPAM when DisableContainerInterface flag is set")
    hairpin, promiscuous = _typed(conf, "hairpinMode", bool), _typed(conf, "promiscMode", bool)
    if hairpin and promiscuous:
        raise CniError("cannot set hairpin mode and promiscuous mode at the same time")
    if ipam:
        raise CniError(f'failed to find plugin "{ipam}" in path [/opt/cni/bin]')
    name = _typed(conf, "bridge", str) or BridgeConf.bridge
    try:
        interface_name(name)
    except CniError as error:
        raise CniError(f'failed to create bridge "{name}": could not add "{name}": {error}') from error
    return BridgeConf(
        bridge=name,
        mtu=_typed(conf, "mtu", int),
        mac=_mac(_args(conf).get("mac") or requested_mac),
        vlan=vlan,
        trunk=trunk,
        # False since plugins v1.8.0; before, VLAN 1 stayed on the port beside the wanted one.
        preserve_default_vlan=_typed(conf, "preserveDefaultVlan", bool),
        hairpin=hairpin,
        promiscuous=promiscuous,
        isolated=_typed(conf, "portIsolation", bool),
        spoof_check=_typed(conf, "macspoofchk", bool),
        interface_down=down,
    )


def tuning(conf: Obj, ifname: str, requested_mac: str = "", allowed: Sequence[str] = ALLOWED_SYSCTLS) -> Tuning:
    """The configuration of `tuning` for the pod's interface ``ifname``. Raises CniError."""
    args = _args(conf)
    sysctls = {**_texts(conf, "sysctl"), **_texts(args, "sysctl")}
    for key in sysctls:
        if not any(re.search(pattern, key) for pattern in allowed):
            known = " ".join(allowed)
            raise CniError(f"Sysctl {key} is not allowed. Only the following sysctls are allowed: [{known}]")
    merged = {**conf, **{key: args[key] for key in ("mtu", "promisc", "allmulti") if args.get(key) is not None}}
    return Tuning(
        mac=_mac(args.get("mac") or requested_mac or conf.get("mac") or ""),
        mtu=_typed(merged, "mtu", int, "TuningConf"),
        promiscuous=_typed(merged, "promisc", bool, "TuningConf"),
        allmulti=None if merged.get("allmulti") is None else _typed(merged, "allmulti", bool, "TuningConf"),
        sysctls={_sysctl_path(key, ifname): value for key, value in sysctls.items()},
    )


def ipam_type(conf: Obj) -> Any:
    """Which plugin shall give addresses; empty for none. Raises CniError."""
    ipam = conf.get("ipam") or {}
    if not isinstance(ipam, dict):
        raise CniError(
            f"failed to load netconf: json: cannot unmarshal {_json_kind(ipam)} into Go struct field NetConf.ipam "
            "of type types.IPAM"
        )
    return ipam.get("type")


def _sysctl_path(key: str, ifname: str) -> str:
    # IFNAME is put in after the dots became slashes: an interface's own name may have dots.
    path = posixpath.normpath("/proc/sys/" + key.replace(".", "/").replace("IFNAME", ifname, 1))
    if not path.startswith("/proc/sys/net/"):
        raise CniError(f'invalid net sysctl key: "{key}"')
    return path


def _typed(conf: Obj, key: str, kind: type, struct: str = "NetConf") -> Any:
    found = conf.get(key)
    if found is None:
        return kind()
    # A JSON true is no number, although Python's is.
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise CniError(
            f"failed to load netconf: json: cannot unmarshal {_json_kind(found)} into Go struct field {struct}.{key} "
            f"of type {GO_TYPES[kind]}"
        )
    return found


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _args(conf: Obj) -> Obj:
    args = conf.get("args")
    inner = args.get("cni") if isinstance(args, dict) else None
    return inner if isinstance(inner, dict) else {}


def _texts(conf: Obj, key: str) -> dict[str, str]:
    found = conf.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise CniError(
            f"failed to load netconf: json: cannot unmarshal into Go struct field TuningConf.{key} "
            "of type map[string]string"
        )
    return found


def _mac(text: Any) -> str:
    if text and not (isinstance(text, str) and MAC.fullmatch(text)):
        raise CniError(f"invalid args {text} for MAC addr: address {text}: invalid MAC address")
    return str(text or "").lower()


def _trunk(items: Any) -> tuple[int, ...]:
    """`vlanTrunk`: single IDs and ranges, sorted and without doubles (collectVlanTrunk)."""
    if items is None:
        return ()
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise CniError(
            "failed to load netconf: json: cannot unmarshal into Go struct field NetConf.vlanTrunk "
            "of type []*main.VlanTrunk"
        )
    return tuple(sorted({vlan for item in items for vlan in _trunk_item(item)}))


def _trunk_item(item: Obj) -> Iterator[int]:
    low, high, single = (item.get(key) for key in ("minID", "maxID", "id"))
    if (low is None) != (high is None):
        missing = "minID" if low is None else "maxID"
        raise CniError(f"minID and maxID should be configured simultaneously, {missing} is missing")
    for value, name in ((low, "minID"), (high, "maxID"), (single, "id")):
        if value is not None and not (type(value) is int and 0 < value <= 4094):
            raise CniError(f"incorrect trunk {name} parameter")
    if low is not None and high is not None:
        if high < low:
            raise CniError("minID is greater than maxID in trunk parameter")
        yield from range(low, high + 1)
    if single is not None:
        yield single
