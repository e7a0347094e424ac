"""Which fields a network state may have, and the refusal of every other one.

nmstate's structs deny unknown fields; the message lists the fields known at that place, in serde's words.
Values become what they mean here (``"yes"`` a bool, ``"5"`` a number).  It must not judge sense, only shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.node.nmstate.errors import MalformedState

TRUE = {"1", "true", "yes", "on", "y"}
FALSE = {"0", "false", "no", "off", "n"}


@dataclass(frozen=True)
class Shape:
    """An object: field name to ``bool``, ``int``, ``str``, ``any``, another Shape, or ``[item]`` for a list."""

    fields: Mapping[str, Any]
    aliases: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()


def read(value: Any, shape: Any, path: str) -> Any:
    """``value`` checked against ``shape``, with canonical names and types. Raises MalformedState."""
    if shape == "any" or value is None:
        return value
    if shape == "bool":
        return _boolean(value, path)
    if shape == "int":
        return _integer(value, path)
    if shape == "str":
        return _text(value, path)
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise MalformedState(f"{path}: invalid type: {_serde_type(value)}, expected a sequence")
        if None in value and shape[0] != "any":
            wanted = "a string" if shape[0] == "str" else "a map"
            raise MalformedState(f"{path}[{value.index(None)}]: invalid type: null, expected {wanted}")
        return [read(item, shape[0], f"{path}[{index}]") for index, item in enumerate(value)]
    if callable(shape):
        return shape(value, path)
    return _object(value, shape, path)


def _object(value: Any, shape: Shape, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedState(f"{path}: invalid type: {_serde_type(value)}, expected a map")
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = shape.aliases.get(key, key)
        if name not in shape.fields:
            raise MalformedState(f"{path}: unknown field `{key}`, expected {_expected(list(shape.fields))}")
        below = read(item, shape.fields[name], f"{path}.{name}" if path else name)
        if below is not None:
            result[name] = below
    for name in shape.required:
        if name not in result:
            raise MalformedState(f"{path}: missing field `{name}`")
    return result


def _expected(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    if not quoted:
        return "no fields"
    if len(quoted) == 1:
        return quoted[0]
    if len(quoted) == 2:
        return " or ".join(quoted)
    return "one of " + ", ".join(quoted)


def _boolean(value: Any, path: str) -> bool:
    text = str(value).lower()
    if isinstance(value, bool) or (isinstance(value, (int, str)) and text in TRUE | FALSE):
        return text in TRUE
    raise MalformedState(f"{path}: Need to be boolean: 1|0|true|false|yes|no|on|off|y|n")


def _integer(value: Any, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(str(value), 0)
    except ValueError:
        raise MalformedState(f"{path}: invalid type: {_serde_type(value)}, expected an integer") from None


def _text(value: Any, path: str) -> str:
    if isinstance(value, (dict, list)):
        raise MalformedState(f"{path}: invalid type: {_serde_type(value)}, expected a string")
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _serde_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map"
    if isinstance(value, list):
        return "sequence"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"{'integer' if isinstance(value, int) else 'floating point'} `{value}`"
    return f'string "{value}"'


def _stp(value: Any, path: str) -> dict[str, Any]:
    # ovs-bridge takes `stp: true` and `stp: {enabled: true}` alike (ovs_stp_deserializer).
    if isinstance(value, dict):
        return _object(value, Shape({"enabled": "bool"}), path)
    return {"enabled": _boolean(value, path)}


def choice(*names: str, aliases: Mapping[str, str] | None = None) -> Any:
    """A shape: one of the words, or a number that stands for one."""
    other = aliases or {}

    def check(value: Any, path: str) -> str:
        word = other.get(str(value), str(value))
        if word not in names:
            raise MalformedState(f"{path}: unknown variant `{value}`, expected {_expected(list(names))}")
        return word

    return check


ADDRESS = Shape(
    {"ip": "str", "prefix-length": "int", "mptcp-flags": "any", "valid-life-time": "any", "preferred-life-time": "any"},
    {"preferred-left": "preferred-life-time", "valid-left": "valid-life-time"},
    ("ip", "prefix-length"),
)
IP_FIELDS: dict[str, Any] = {
    "enabled": "bool", "dhcp": "bool", "dhcp-client-id": "str", "address": [ADDRESS], "auto-dns": "bool",
    "auto-gateway": "bool", "auto-routes": "bool", "auto-route-table-id": "int", "auto-route-metric": "int",
    "allow-extra-address": "bool", "dhcp-send-hostname": "bool", "dhcp-custom-hostname": "str",
}  # fmt: skip
IPV4 = Shape(IP_FIELDS, {"addresses": "address"})
IPV6 = Shape(
    {**IP_FIELDS, "autoconf": "bool", "dhcp-duid": "any", "addr-gen-mode": "str", "token": "str"},
    {"addresses": "address"},
)
VLAN_RANGE = Shape({"min": "int", "max": "int"}, required=("min", "max"))
PORT_VLAN = Shape(
    {
        "enable-native": "bool",
        "mode": choice("access", "trunk"),
        "tag": "int",
        "trunk-tags": [Shape({"id": "int", "id-range": VLAN_RANGE})],
    }
)
BASE: dict[str, Any] = {
    "name": "str", "profile-name": "str", "description": "str", "type": "str", "driver": "str",
    "state": choice("up", "down", "absent", "ignore", "unknown"), "identifier": "str", "mac-address": "str",
    "permanent-mac-address": "any", "mtu": "int", "min-mtu": "any", "max-mtu": "any", "wait-ip": "str",
    "ipv4": IPV4, "ipv6": IPV6, "mptcp": "any", "controller": "str", "accept-all-mac-addresses": "bool",
    "copy-mac-from": "str", "ovs-db": "any", "802.1x": "any", "lldp": Shape({"enabled": "bool"}), "ethtool": "any",
    "dispatch": "any", "alt-names": "any",
}  # fmt: skip
BOND_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
BOND_OPTIONS = (
    "ad_actor_sys_prio", "ad_actor_system", "ad_select", "ad_user_port_key", "all_slaves_active", "arp_all_targets",
    "arp_interval", "arp_ip_target", "arp_validate", "downdelay", "fail_over_mac", "lacp_rate", "lp_interval",
    "miimon", "min_links", "num_grat_arp", "num_unsol_na", "packets_per_slave", "primary", "primary_reselect",
    "resend_igmp", "tlb_dynamic_lb", "updelay", "use_carrier", "xmit_hash_policy", "balance_slb", "arp_missed_max",
)  # fmt: skip
BOND_OPTION_TYPES: dict[str, Any] = {
    **dict.fromkeys(BOND_OPTIONS, "any"),
    **dict.fromkeys(("miimon", "updelay", "downdelay"), "int"),
    "primary": "str",
}
BOND = Shape(
    {
        "mode": choice(*BOND_MODES, aliases={str(number): name for number, name in enumerate(BOND_MODES)}),
        "options": Shape(
            {
                **dict.fromkeys(BOND_OPTIONS, "any"),
                **dict.fromkeys(("miimon", "updelay", "downdelay"), "int"),
                "primary": "str",
            }
        ),
        "port": ["str"],
        "ports-config": [Shape({"name": "str", "priority": "int", "queue-id": "int"}, required=("name",))],
    },
    {"ports": "port"},
)
LINUX_BRIDGE_OPTIONS: dict[str, Any] = {
    **dict.fromkeys((
        "gc-timer", "group-addr", "group-forward-mask", "group-fwd-mask", "hash-max", "hello-timer", "mac-ageing-time",
        "multicast-last-member-count", "multicast-last-member-interval", "multicast-membership-interval",
        "multicast-querier", "multicast-querier-interval", "multicast-query-interval",
        "multicast-query-response-interval", "multicast-query-use-ifaddr", "multicast-router", "multicast-snooping",
        "multicast-startup-query-count", "multicast-startup-query-interval", "vlan-protocol", "vlan-default-pvid",
    ), "any"),
    "mac-ageing-time": "int", "group-forward-mask": "int", "group-fwd-mask": "int", "multicast-snooping": "bool",
    "multicast-querier": "bool",
    "stp": Shape({
        "enabled": "bool", "forward-delay": "int", "hello-time": "int", "max-age": "int", "priority": "int",
    }),
}  # fmt: skip
LINUX_BRIDGE = Shape(
    {
        "options": Shape(LINUX_BRIDGE_OPTIONS),
        "port": [
            Shape(
                {
                    "name": "str",
                    "stp-hairpin-mode": "bool",
                    "stp-path-cost": "int",
                    "stp-priority": "int",
                    "vlan": PORT_VLAN,
                },
                required=("name",),
            )
        ],
    },
    {"ports": "port"},
)
OVS_BOND = Shape(
    {
        "mode": choice("active-backup", "balance-slb", "balance-tcp", "lacp"),
        "port": [Shape({"name": "str"}, required=("name",))],
        "bond-downdelay": "int",
        "bond-updelay": "int",
        "ovs-db": "any",
    },
    {"ports": "port"},
)
OVS_BRIDGE = Shape(
    {
        "allow-extra-patch-ports": "bool",
        "options": Shape(
            {"stp": _stp, "rstp": "bool", "mcast-snooping-enable": "bool", "fail-mode": "str", "datapath": "str"}
        ),
        "port": [Shape({"name": "str", "vlan": PORT_VLAN, "link-aggregation": OVS_BOND}, required=("name",))],
    },
    {"ports": "port"},
)
PATCH = Shape({"peer": "str"}, required=("peer",))
ETHERNET: dict[str, Any] = {"ethernet": Shape(dict.fromkeys(("sr-iov", "auto-negotiation", "speed", "duplex"), "any"))}
EXTRAS: dict[str, dict[str, Any]] = {
    "ethernet": {**ETHERNET, "veth": "any"},
    "bond": {"link-aggregation": BOND},
    "linux-bridge": {"bridge": LINUX_BRIDGE},
    "ovs-bridge": {"bridge": OVS_BRIDGE},
    "ovs-interface": {"patch": PATCH, "dpdk": "any"},
    "vlan": {"vlan": "any"},
    "vxlan": {"vxlan": "any"},
    "dummy": {},
    "loopback": {},
}
TYPES = (
    "bond", "linux-bridge", "dummy", "ethernet", "hsr", "loopback", "mac-vlan", "mac-vtap", "ovs-bridge",
    "ovs-interface", "veth", "vlan", "vrf", "vxlan", "infiniband", "tun", "macsec", "ipsec", "xfrm", "ipvlan",
)  # fmt: skip
ROUTE = Shape(
    {
        "state": choice("absent", "ignore"), "destination": "str", "next-hop-interface": "str",
        "next-hop-address": "str", "metric": "int", "table-id": "int", "weight": "int", "route-type": "str",
        "cwnd": "int", "source": "str", "initcwnd": "int", "initrwnd": "int", "mtu": "int", "quickack": "any",
        "advmss": "int", "vrf-name": "str",
    }
)  # fmt: skip
DNS = Shape({"server": ["str"], "search": ["str"], "options": ["str"]})
MAPPING = Shape({"localnet": "str", "state": choice("present", "absent"), "bridge": "str"}, required=("localnet",))
STATE = Shape(
    {
        "description": "str", "hostname": "any", "dns-resolver": Shape({"running": "any", "config": DNS}),
        "route-rules": "any", "routes": Shape({"running": "any", "config": [ROUTE]}), "interfaces": ["any"],
        "ovs-db": "any", "ovn": Shape({"bridge-mappings": [MAPPING]}),
    },
    {"dns": "dns-resolver"},
)  # fmt: skip


def interface_shape(kind: str) -> Shape:
    """The fields of an interface of nmstate type ``kind`` (empty or ``unknown``: the common ones and any section)."""
    if kind in ("", "unknown"):
        merged: dict[str, Any] = dict(BASE)
        for extra in EXTRAS.values():
            merged.update(dict.fromkeys(extra, "any"))
        return Shape(merged, required=("name",))
    return Shape({**BASE, **EXTRAS.get(kind, {kind: "any"})}, required=("name",))
