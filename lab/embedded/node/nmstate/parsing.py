"""A desiredState document read into a Desired, and interfaces without a type given the node's.

It must not change anything of what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.embedded.node.nmstate.checks import (
    KERNEL_NAME,
    OVS_NAME,
    check_controllers,
    check_interface,
    check_mappings,
    check_name,
    check_overbooked,
    check_route,
    check_unique,
)
from lab.embedded.node.nmstate.desired import Desired, Iface
from lab.embedded.node.nmstate.draft import type_of
from lab.embedded.node.nmstate.errors import MalformedState, invalid, unsupported
from lab.embedded.node.nmstate.model import INTEGRATION_BRIDGE, Host
from lab.embedded.node.nmstate.schema import STATE, TYPES, interface_shape, read


def parse(document: Mapping[str, Any]) -> Desired:
    """Read a desiredState. Raises MalformedState or NmstateError (InvalidArgument, NotSupportedError)."""
    state = read(dict(document), STATE, "")
    for section in ("hostname", "route-rules", "ovs-db"):
        if state.get(section):
            raise unsupported(f"`{section}` cannot be set on this node")
    interfaces = tuple(_iface(item, f"interfaces[{i}]") for i, item in enumerate(state.get("interfaces", ())))
    check_unique(interfaces)
    mappings = tuple(state.get("ovn", {}).get("bridge-mappings", ()))
    check_mappings(mappings)
    routes = tuple(r for r in state.get("routes", {}).get("config", ()) if r.get("state") != "ignore")
    for route in routes:
        check_route(route)
    for iface in interfaces:
        check_name(iface.name, OVS_NAME if iface.type in ("ovs-interface", "") else KERNEL_NAME)
        if iface.up:
            check_interface(iface)
    check_overbooked(interfaces)
    check_controllers(interfaces)
    dns = state.get("dns-resolver", {}).get("config")
    return Desired(interfaces, routes, mappings, dns, not (interfaces or mappings or routes or dns is not None))


def _iface(item: Any, path: str) -> Iface:
    if not isinstance(item, Mapping):
        raise MalformedState(f"{path}: invalid type, expected a map")
    kind, state = str(item.get("type") or ""), str(item.get("state") or "up")
    kind = "" if kind == "unknown" else kind
    if state == "absent":
        # nmstate ignores all other properties of an absent interface, wrong ones included.
        item = {key: item[key] for key in ("name", "type", "state") if key in item}
    if kind and kind not in TYPES:
        raise MalformedState(f"{path}: unknown variant `{kind}`, expected one of {', '.join(f'`{t}`' for t in TYPES)}")
    data = read(dict(item), interface_shape(kind), path)
    return Iface(data["name"], kind, data.get("state", "up"), data)


def resolve(desired: Desired, current: Host) -> Desired:
    """``desired`` with every interface typed as the node knows it. Raises NmstateError (InvalidArgument)."""
    interfaces = tuple(_typed(iface, current) for iface in desired.interfaces if iface.state != "ignore")
    check_overbooked(interfaces)
    return replace(desired, interfaces=interfaces)


def _typed(iface: Iface, current: Host) -> Iface:
    if iface.name == INTEGRATION_BRIDGE:
        raise unsupported(f"Interface {INTEGRATION_BRIDGE} belongs to OVN and cannot be changed by a policy")
    kind = type_of(current, iface.name)
    if iface.type:
        same_name = {("bond", "ovs-interface"), ("ovs-interface", "ovs-bridge")}
        if iface.up and kind and kind != iface.type and (iface.type, kind) not in same_name:
            raise invalid(f"Interface {iface.name} is of type {kind} on this node, it cannot be of type {iface.type}")
        return iface
    if not kind:
        if iface.state == "absent":
            return iface
        raise invalid(f"Failed to find unknown type interface {iface.name} in current state")
    data = read(dict(iface.data), interface_shape(kind), f"interfaces.{iface.name}")
    typed = Iface(iface.name, kind, iface.state, data)
    if typed.up:
        check_interface(typed)
    return typed
