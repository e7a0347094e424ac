"""Does the node, read back, match the desired state? nmstate's comparison and nmstate's words.

Pure. Arrays are compared whole, objects only in the keys that were desired; bond options never fail a
verification (rust/src/lib/state.rs). It must not look at a plan: only at what was wished and what is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_interface, ip_network
from typing import Any

from lab.embedded.node.nmstate.desired import COPIES_MAC, Desired, Iface
from lab.embedded.node.nmstate.draft import type_of
from lab.embedded.node.nmstate.errors import VERIFICATION, NmstateError
from lab.embedded.node.nmstate.model import BOND_ROLE, Host
from lab.embedded.node.nmstate.routes import matches
from lab.embedded.node.nmstate.show import ranges, show

# As Rust's Debug prints the type (`Failed to find desired interface bond1 Bond`).
DEBUG = {
    "ethernet": "Ethernet",
    "bond": "Bond",
    "linux-bridge": "LinuxBridge",
    "ovs-bridge": "OvsBridge",
    "ovs-interface": "OvsInterface",
    "loopback": "Loopback",
}
BRIDGE_OPTIONS = (
    "stp", "mac-ageing-time", "group-forward-mask", "multicast-snooping", "multicast-querier", "rstp",
    "mcast-snooping-enable", "fail-mode", "vlan-default-pvid",
)  # fmt: skip
VIRTUAL = ("bond", "linux-bridge", "ovs-bridge", "ovs-interface")


def verify(desired: Desired, host: Host) -> None:
    """Raise NmstateError (VerificationError) at the first difference."""
    shown = {(item["name"], item["type"]): item for item in show(host)["interfaces"]}
    for iface in desired.interfaces:
        if iface.state == "ignore":
            continue
        kind = iface.type or type_of(host, iface.name)
        found = shown.get((iface.name, kind))
        if iface.state == "absent" or (iface.state == "down" and kind in VIRTUAL):
            if found is not None and kind in VIRTUAL:
                raise _failed(f"Absent/Down interface {iface.name}/{kind} still found as {_json(found)}")
        elif iface.up:
            if found is None:
                raise _failed(f"Failed to find desired interface {iface.name} {DEBUG.get(kind, kind)}")
            _compare(
                f"{iface.name}.interface", wanted(iface, kind, filters=host.filters), _comparable(iface, found, host)
            )
            _working(iface, host)
            _verify_copied_mac(iface, kind, host)
    _verify_mappings(desired, host)
    _verify_routes(desired, host)
    _verify_dns(desired, host)


def _failed(text: str) -> NmstateError:
    return NmstateError(VERIFICATION, text)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _compare(path: str, desire: Any, current: Any) -> None:
    if desire is None:
        return
    if isinstance(desire, Mapping) and isinstance(current, Mapping):
        for key, value in desire.items():
            if key in current:
                _compare(f"{path}.{key}", value, current[key])
            elif value is not None:
                _differ(f"{path}.{key}", value, None)
    elif isinstance(desire, list) and isinstance(current, list):
        if len(desire) != len(current):
            _differ(path, desire, current)
        for index, (left, right) in enumerate(zip(desire, current, strict=True)):
            _compare(f"{path}[{index}]", left, right)
    elif desire != current:
        _differ(path, desire, current)


def _differ(path: str, desire: Any, current: Any) -> None:
    if ".link-aggregation.options" in path:
        return
    raise _failed(f"Verification failure: {path} desire '{_json(desire)}', current '{_json(current)}'")


def wanted(iface: Iface, kind: str, *, filters: bool = False) -> dict[str, Any]:
    """The desired interface in the shape that ``show`` has, only with what can be compared.

    VLANs of a Linux bridge where the kernel ``filters`` them: elsewhere only the default is let pass, and said.
    """
    data = iface.data
    document: dict[str, Any] = {"name": iface.name, "type": kind}
    if kind != "ovs-bridge":
        document["state"] = "up"
        if data.get("mtu") is not None:
            document["mtu"] = data["mtu"]
        if data.get("mac-address"):
            document["mac-address"] = data["mac-address"].upper()
        for version in (4, 6):
            section = data.get(f"ipv{version}")
            if section is not None:
                document[f"ipv{version}"] = _wanted_ip(section)
    if data.get("controller"):
        document["controller"] = data["controller"]
    if kind == "bond" and "link-aggregation" in data:
        section = data["link-aggregation"]
        document["link-aggregation"] = {"mode": section.get("mode")}
        if iface.ports is not None:
            document["link-aggregation"]["port"] = sorted(iface.ports)
    if kind in ("ovs-bridge", "linux-bridge") and "bridge" in data:
        document["bridge"] = _wanted_bridge(data["bridge"], kind, filters)
    if data.get("patch"):
        document["patch"] = data["patch"]
    return document


def _wanted_ip(section: Mapping[str, Any]) -> dict[str, Any]:
    enabled = bool(section.get("enabled", bool(section.get("address") or section.get("dhcp"))))
    document: dict[str, Any] = {"enabled": enabled}
    if not enabled:
        return document
    if "dhcp" in section:
        document["dhcp"] = section["dhcp"]
    if not section.get("dhcp") and "address" in section:
        items = sorted(ip_interface(f"{a['ip']}/{a['prefix-length']}") for a in section["address"])
        document["address"] = [{"ip": str(a.ip), "prefix-length": a.network.prefixlen} for a in items]
    return document


def _wanted_bridge(section: Mapping[str, Any], kind: str, filters: bool) -> dict[str, Any]:
    options = {key: value for key, value in section.get("options", {}).items() if key in BRIDGE_OPTIONS}
    if "group-fwd-mask" in section.get("options", {}):
        options["group-forward-mask"] = section["options"]["group-fwd-mask"]
    document: dict[str, Any] = {"options": options}
    if "port" not in section:
        return document
    ports = []
    for port in sorted(section["port"], key=lambda p: str(p["name"])):
        item: dict[str, Any] = {"name": port["name"]}
        if port.get("vlan") and (kind == "ovs-bridge" or filters):
            item["vlan"] = _wanted_vlan(port["vlan"])
        if kind == "ovs-bridge" and port.get("link-aggregation"):
            own = port["link-aggregation"]
            names = sorted(p["name"] for p in own.get("port", ()))
            item["link-aggregation"] = {"mode": own.get("mode"), "port": [{"name": name} for name in names]}
        ports.append(item)
    return {**document, "port": ports}


def _wanted_vlan(section: Mapping[str, Any]) -> dict[str, Any]:
    # VLAN 0 is none, and an access port is shown without a word on a native VLAN.
    heard = {"mode": True, "tag": bool(section.get("tag")), "enable-native": section.get("mode") == "trunk"}
    document = {key: section[key] for key, said in heard.items() if said and key in section}
    if section.get("trunk-tags"):
        tags: list[int] = []
        for item in section["trunk-tags"]:
            span = item.get("id-range")
            tags += range(span["min"], span["max"] + 1) if span else [item["id"]]
        document["trunk-tags"] = ranges(tuple(tags))
    return document


def _comparable(iface: Iface, found: Mapping[str, Any], host: Host) -> Mapping[str, Any]:
    """What was read, less what nmstate leaves out: extra patch ports when allowed, link-local addresses."""
    document = dict(found)
    bridge = iface.data.get("bridge")
    if isinstance(bridge, Mapping) and bridge.get("allow-extra-patch-ports") and iface.name in host.bridges:
        kinds = {name: port.kind for name, port in host.bridges[iface.name].ports.items()}
        named = set(iface.ports or ())
        kept = [p for p in found["bridge"]["port"] if p["name"] in named or kinds.get(p["name"]) != "patch"]
        document["bridge"] = {**found["bridge"], "port": kept}
    asked = set(iface.ports or ())
    own = host.bridges.get(iface.name)
    if own is not None and own.role != BOND_ROLE and own.local and iface.name not in asked and "bridge" in document:
        # The LOCAL port is shown for its address; a policy that does not list it does not mean to remove it.
        kept = [p for p in document["bridge"]["port"] if p["name"] != iface.name]
        document["bridge"] = {**document["bridge"], "port": kept}
    section = document.get("ipv6")
    if section is not None and "address" in section:
        kept = [a for a in section["address"] if not ip_interface(a["ip"]).is_link_local]
        # A link whose IPv6 is on has only a link-local address until somebody gives it another.
        link, wanted = host.links.get(iface.name), iface.data.get("ipv6", {}).get("enabled")
        enabled = bool(kept) or bool(wanted and link is not None and link.ipv6)
        document["ipv6"] = {**section, "address": kept, "enabled": enabled}
    return document


def _working(iface: Iface, host: Host) -> None:
    """ovs-vswitchd accepts a port it cannot open and only says so in a column."""
    bridge = host.bridges.get(iface.name)
    ports = [p for name, p in bridge.ports.items() if iface.held or name] if bridge is not None else []
    for port in ports:
        named = port.name in iface.held or bool(set(port.members) & set(iface.held)) or iface.type == "bond"
        if port.error and named:
            raise _failed(f"Interface {iface.name} holds a port that does not work: {port.error}")


def _verify_copied_mac(iface: Iface, kind: str, host: Host) -> None:
    source, link = host.links.get(iface.data.get("copy-mac-from", "")), host.links.get(iface.name)
    if kind in COPIES_MAC and source is not None and link is not None and link.mac != source.mac:
        _differ(f"{iface.name}.interface.mac-address", source.mac.upper(), link.mac.upper())


def _verify_mappings(desired: Desired, host: Host) -> None:
    for mapping in desired.mappings:
        found = host.mappings.get(mapping["localnet"])
        if mapping.get("state") == "absent":
            if found is not None:
                raise _failed(
                    "Verification failure: ovn.bridge-mappings desire '[]', current "
                    f"'{_json([{'localnet': mapping['localnet'], 'bridge': found}])}'"
                )
        elif found != mapping["bridge"]:
            current = [] if found is None else [{"localnet": mapping["localnet"], "bridge": found}]
            desire = [{"localnet": mapping["localnet"], "bridge": mapping["bridge"]}]
            raise _failed(
                f"Verification failure: ovn.bridge-mappings desire '{_json(desire)}', current '{_json(current)}'"
            )


def _verify_routes(desired: Desired, host: Host) -> None:
    present = [entry for entry in desired.routes if entry.get("state") != "absent"]
    for entry in desired.routes:
        text = " ".join(f"{key}: {value}" for key, value in entry.items())
        normal = {**entry}
        if entry.get("destination"):
            normal["destination"] = str(ip_network(entry["destination"], strict=False))
        found = next((r for r in host.routes if matches(r, {**normal, "state": None})), None)
        if entry.get("state") == "absent":
            again = any(all(p.get(k) == v for k, v in entry.items() if k != "state") for p in present)
            if found is not None and found.protocol != "kernel" and not again:
                raise _failed(f"Desired absent route {text} still found after apply: {found.destination}")
        elif found is None:
            raise _failed(f"Desired route {text} not found after apply")


def _verify_dns(desired: Desired, host: Host) -> None:
    if desired.dns is None:
        return
    for key, current in (("server", host.dns_servers), ("search", host.dns_search)):
        desire = list(desired.dns.get(key, ()))
        if desire != list(current):
            raise _failed(
                f"Verification failure: dns-resolver.config.{key} desire '{_json(desire)}', "
                f"current '{_json(list(current))}'"
            )
