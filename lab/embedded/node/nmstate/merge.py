"""What the node shall look like: its present state with a desired state laid over it, as nmstate merges.

Pure: a Host and a Desired in, a Host out.  Partial editing is nmstate's: what the state does not mention stays,
a port list that is given replaces the whole list, mappings are merged by localnet.  It must not run anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.embedded.node.nmstate.bonds import bond_into
from lab.embedded.node.nmstate.bridges import attach, linux_bridge, ovs_bridge, ovs_interface
from lab.embedded.node.nmstate.desired import CONTROLLERS, COPIES_MAC, Desired, Iface
from lab.embedded.node.nmstate.draft import Draft, enslave, type_of, unconfigure
from lab.embedded.node.nmstate.errors import invalid, unsupported
from lab.embedded.node.nmstate.model import BOND_ROLE, Bridge, Host, Link
from lab.embedded.node.nmstate.parsing import resolve
from lab.embedded.node.nmstate.routes import routes_of


def merge(current: Host, desired: Desired) -> Host:
    """The Host that ``desired`` asks for. Raises NmstateError (InvalidArgument, NotSupportedError)."""
    resolved = resolve(desired, current).interfaces
    draft = Draft(current)
    for iface in resolved:
        if not iface.up:
            remove(draft, iface)
    ups = [iface for iface in resolved if iface.up]
    _check_ports(current, ups)
    for iface in ups:
        if iface.type == "bond":
            bond_into(draft, iface)
    for iface in ups:
        if iface.type == "linux-bridge":
            linux_bridge(draft, iface)
        elif iface.type == "ovs-bridge":
            ovs_bridge(draft, iface)
    for iface in ups:
        if iface.type == "ovs-interface":
            ovs_interface(draft, iface)
        _controller(draft, iface)
    for iface in ups:
        _base(draft, iface)
    return Host(
        links=draft.links,
        bridges=draft.bridges,
        mappings=_mappings(current, desired),
        routes=routes_of(current, desired, draft),
        dhcp=frozenset(name for name in draft.dhcp if name in draft.links),
        dns_servers=current.dns_servers if desired.dns is None else tuple(desired.dns.get("server", ())),
        dns_search=current.dns_search if desired.dns is None else tuple(desired.dns.get("search", ())),
        filters=current.filters,
    )


def _check_ports(current: Host, ups: list[Iface]) -> None:
    known = set(current.links) | set(current.bonds()) | {iface.name for iface in ups}
    for iface in ups:
        if iface.type == "ovs-bridge":
            # An unknown port of an ovs-bridge becomes an internal interface in silence; only bond members must exist.
            for port in iface.data.get("bridge", {}).get("port", ()):
                for member in (port.get("link-aggregation") or {}).get("port", ()):
                    if member["name"] not in known:
                        raise invalid(f"Controller interface {iface.name} is holding unknown port {member['name']}")
        elif iface.type in CONTROLLERS:
            for name in iface.ports or ():
                if name not in known:
                    raise invalid(f"Controller interface {iface.name} is holding unknown port {name}")


def remove(draft: Draft, iface: Iface) -> None:
    name = iface.name
    kind = iface.type or type_of(draft.host(), name)
    if kind == "ovs-bridge":
        bridge = draft.bridges.get(name)
        if bridge is None or bridge.role == BOND_ROLE:
            return
        for port in list(bridge.ports):
            if draft.host().bond(port) is not None:
                draft.stand_alone(port)
        _free(draft, bridge)
        del draft.bridges[name]
        draft.links.pop(name, None)
    elif kind == "bond":
        for member in draft.remove_bond(name):
            unconfigure(draft, member)
    elif kind == "linux-bridge":
        if draft.links.get(name) is None or draft.links[name].kind != "bridge":
            return
        del draft.links[name]
        draft.dhcp.discard(name)
        for link in list(draft.links.values()):
            if link.master == name:
                unconfigure(draft, link.name)
    elif kind == "ovs-interface":
        home = draft.host().bridge_of(name)
        if home is not None:
            draft.release(name)
        draft.dhcp.discard(name)
    elif kind == "ethernet" and name in draft.links:
        draft.release(name)
        unconfigure(draft, name)


def _free(draft: Draft, bridge: Bridge) -> None:
    for port in bridge.ports.values():
        if port.kind in ("internal", "patch"):
            draft.links.pop(port.name, None)
            draft.dhcp.discard(port.name)
        elif draft.host().bond(port.name) is None:
            for member in port.members or (port.name,):
                unconfigure(draft, member)


def _controller(draft: Draft, iface: Iface) -> None:
    wanted = iface.data.get("controller")
    if wanted is None or iface.type == "ovs-interface":
        return
    if not wanted:
        if draft.host().bond(iface.name) is not None:
            draft.stand_alone(iface.name)
        else:
            draft.release(iface.name)
        return
    if draft.host().controller_of(iface.name) == wanted:
        return
    kind = type_of(draft.host(), wanted)
    if kind == "ovs-bridge":
        attach(draft, wanted, {"name": iface.name})
    elif kind == "linux-bridge":
        draft.stand_alone(iface.name)
        draft.release(iface.name)
        enslave(draft, iface.name)
        draft.set_link(iface.name, master=wanted)
    elif kind == "bond":
        bridge, port = draft.host().bonds()[wanted]
        draft.release(iface.name)
        enslave(draft, iface.name)
        draft.set_members(wanted, bridge.name, port, (*port.members, iface.name))
    else:
        raise invalid(f"The controller {wanted} of interface {iface.name} does not exists")


def _base(draft: Draft, iface: Iface) -> None:
    name = iface.name
    if name not in draft.links or iface.type == "ovs-bridge":
        return
    link, data = draft.links[name], iface.data
    held = bool(link.master) or (link.kind != "tap" and bool(draft.host().controller_of(name)))
    change: dict[str, Any] = {"up": True}
    if (mtu := data.get("mtu")) is not None:
        change["mtu"] = _mtu(link, mtu)
    if mac := _mac(draft, iface):
        change["mac"] = mac
    addresses = set(link.addresses)
    for version in (4, 6):
        section = data.get(f"ipv{version}")
        if section is None:
            continue
        enabled = section.get("enabled", bool(section.get("address") or section.get("dhcp")))
        if held and enabled:
            raise invalid(
                f"Interface {name} cannot have IP enabled as it is attached to a controller where IP is not allowed"
            )
        if not enabled or "address" in section:
            addresses = {a for a in addresses if (":" in a) != (version == 6)}
        if version == 6:
            change["ipv6"] = enabled
            if section.get("dhcp") or section.get("autoconf"):
                raise unsupported(f"Interface {name}: DHCPv6 and autoconf are not available on this node")
        if enabled:
            addresses |= {f"{a['ip']}/{a['prefix-length']}" for a in section.get("address", ())}
        if version == 4:
            dhcp = bool(enabled and section.get("dhcp", name in draft.dhcp))
            leased = {a for a in link.dynamic if ":" not in a}
            if enabled and name in draft.dhcp and not dhcp and not section.get("address"):
                # nmstate (ip.rs, special_merge): switched from DHCP to no DHCP, what was leased becomes static.
                addresses |= leased
            (draft.dhcp.add if dhcp else draft.dhcp.discard)(name)
            if not dhcp:
                change["dynamic"] = link.dynamic - leased
    draft.links[name] = replace(link, addresses=frozenset(addresses), **change)


def _mtu(link: Link, mtu: int) -> int:
    """A wanted MTU, when the link can have it."""
    wanted = f"Desired MTU {mtu} for interface {link.name}"
    if link.max_mtu and mtu > link.max_mtu:
        raise invalid(f"{wanted} is bigger than maximum allowed MTU {link.max_mtu}")
    if mtu < link.min_mtu:
        raise invalid(f"{wanted} is smaller than minimum allowed MTU {link.min_mtu}")
    return mtu


def _mac(draft: Draft, iface: Iface) -> str:
    """The hardware address that an interface shall have; empty when nothing is said."""
    source = iface.data.get("copy-mac-from")
    if source and iface.type in COPIES_MAC:
        if source not in draft.links:
            raise invalid(f"Failed to find interface {source} for copy-mac-from of iface {iface.name}")
        return draft.links[source].mac
    return str(iface.data.get("mac-address") or "").lower()


def _mappings(current: Host, desired: Desired) -> dict[str, str]:
    found = dict(current.mappings)
    for mapping in desired.mappings:
        if mapping.get("state") == "absent":
            found.pop(mapping["localnet"], None)
        else:
            found[mapping["localnet"]] = mapping["bridge"]
    return dict(sorted(found.items()))
