"""Linux bridges, OVS bridges and OVS internal interfaces laid over a Host.

It must not know addresses: those are the same for every kind of interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.embedded.node.nmstate.bonds import own_bond
from lab.embedded.node.nmstate.desired import DEFAULT_TRUNK, Iface, trunk_tags
from lab.embedded.node.nmstate.draft import Draft, enslave
from lab.embedded.node.nmstate.errors import invalid, unsupported
from lab.embedded.node.nmstate.model import BOND_ROLE, Bridge, Link, Port, PortVlan

STP_OPTIONS = {  # nmstate's name: (iproute2's, factor)
    "forward-delay": ("forward_delay", 100),
    "hello-time": ("hello_time", 100),
    "max-age": ("max_age", 100),
    "priority": ("priority", 1),
}
BRIDGE_OPTIONS = {
    "mac-ageing-time": ("ageing_time", 100),
    "multicast-snooping": ("mcast_snooping", 1),
    "group-forward-mask": ("group_fwd_mask", 1),
    "group-fwd-mask": ("group_fwd_mask", 1),
    "multicast-querier": ("mcast_querier", 1),
    "vlan-default-pvid": ("vlan_default_pvid", 1),
}


def linux_bridge(draft: Draft, iface: Iface) -> None:
    name, section = iface.name, iface.data.get("bridge", {})
    link = draft.links.get(name)
    if name in draft.bridges or (link is not None and link.kind != "bridge"):
        raise invalid(f"Interface {name} cannot be a linux-bridge, something else has that name")
    if link is None:
        link = draft.links[name] = Link(name, "bridge", up=True)
    draft.links[name] = replace(link, up=True, options=_bridge_options(link, section.get("options", {})))
    if iface.ports is not None:
        for port in [item.name for item in draft.links.values() if item.master == name]:
            if port not in iface.ports:
                draft.set_link(port, master="", vlan=None)
        for port in iface.ports:
            draft.stand_alone(port)
            if draft.links.get(port) is None or draft.links[port].master != name:
                draft.release(port)
            enslave(draft, port)
            draft.set_link(port, master=name)
    _filter_vlans(draft, iface)


def _filter_vlans(draft: Draft, iface: Iface) -> None:
    """nmstate (nm/settings/bridge.rs): a bridge that is given ports filters VLANs if one of them has any."""
    ports = iface.data.get("bridge", {}).get("port")
    for port in ports or ():
        wanted = port.get("vlan")
        if wanted and wanted != DEFAULT_TRUNK and not draft.filters:
            raise unsupported(
                f"Linux bridge {iface.name}: VLAN filtering of port {port['name']} cannot be set, the kernel of this "
                "node has no bridge VLAN filtering; leave `vlan` out, or tag on an ovs-bridge"
            )
        if wanted is not None and draft.filters:
            draft.set_link(port["name"], vlan=port_vlan(wanted))
    bridge = draft.links[iface.name]
    options = dict(bridge.options)
    filtered = any(link.vlan is not None for link in draft.links.values() if link.master == iface.name)
    pvid = options.get("vlan_default_pvid", 1)
    if pvid != 1 and not draft.filters:
        raise unsupported(
            f"Linux bridge {iface.name}: vlan-default-pvid {pvid} cannot be set, the kernel of this node has no bridge "
            "VLAN filtering"
        )
    if pvid != 1 and not filtered:
        raise invalid(
            f"Linux bridge {iface.name} has vlan-default-pvid different than 1 but VLAN filtering is not enabled."
        )
    if not draft.filters:
        options.pop("vlan_default_pvid", None)
    elif ports is not None:
        options["vlan_filtering"] = int(filtered)
    draft.links[iface.name] = replace(bridge, options=tuple(sorted(options.items())))


def port_vlan(section: Mapping[str, Any]) -> PortVlan | None:
    """``vlan`` of a port of a Linux bridge; an empty one, or VLAN 0, leaves the port with the default VLAN alone."""
    trunks, tag = tuple(sorted(set(trunk_tags(section.get("trunk-tags", ()))))), section.get("tag") or None
    if not trunks and tag is None:
        return None
    return PortVlan("trunk" if trunks else "access", tag, trunks, bool(trunks and tag))


def _bridge_options(link: Link, wanted: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    options = dict(link.options)
    stp = wanted.get("stp", {})
    if "enabled" in stp:
        options["stp_state"] = int(stp["enabled"])
    elif not link.options:
        options.setdefault("stp_state", 0)
    for table, source in ((STP_OPTIONS, stp), (BRIDGE_OPTIONS, wanted)):
        for key, (name, factor) in table.items():
            if source.get(key) is not None:
                options[name] = int(source[key]) * factor
    return tuple(sorted(options.items()))


def ovs_bridge(draft: Draft, iface: Iface) -> None:
    name, section = iface.name, iface.data.get("bridge", {})
    known = draft.bridges.get(name)
    if (known is not None and known.role == BOND_ROLE) or (known is None and name in draft.links):
        raise invalid(f"Interface {name} cannot be an ovs-bridge, something else has that name")
    bridge = known or Bridge(name)
    options = section.get("options", {})
    draft.bridges[name] = replace(
        bridge,
        stp=options.get("stp", {}).get("enabled", bridge.stp),
        rstp=options.get("rstp", bridge.rstp),
        mcast=options.get("mcast-snooping-enable", bridge.mcast),
        fail_mode=options.get("fail-mode", bridge.fail_mode),
    )
    draft.links.setdefault(name, Link(name, "tap", up=False))
    if iface.ports is None:
        return
    for port in list(bridge.ports.values()):
        if port.name not in iface.ports and port.kind not in ("patch", "other"):
            _detach(draft, bridge.name, port)
    draft.bridges[name] = replace(draft.bridges[name], local=bridge.local or name in iface.ports)
    for wanted in section["port"]:
        if wanted["name"] != name:
            attach(draft, name, wanted)


def _detach(draft: Draft, bridge: str, port: Port) -> None:
    if draft.host().bond(port.name) is not None:
        draft.stand_alone(port.name)
        return
    draft.drop_port(bridge, port.name)
    if port.kind == "internal":
        draft.links.pop(port.name, None)
        draft.dhcp.discard(port.name)


def attach(draft: Draft, bridge: str, wanted: Mapping[str, Any]) -> None:
    name, vlan = wanted["name"], _vlan(wanted.get("vlan"))
    own = wanted.get("link-aggregation")
    present = draft.bridges[bridge].ports.get(name)
    keep = present.vlan if present is not None and wanted.get("vlan") is None else vlan
    if own is not None:
        members = tuple(item["name"] for item in own.get("port", ()))
        for member in members:
            if present is None or member not in present.members:
                draft.release(member)
            enslave(draft, member)
        draft.set_port(bridge, Port(name, "bond", members, vlan=keep, bond=own_bond(own)))
        return
    bond = draft.host().bond(name)
    if bond is not None:
        home, port = bond
        if home.name == bridge:
            draft.set_port(bridge, replace(port, vlan=keep))
            return
        draft.remove_bond(name)
        moved = replace(port, name=name, vlan=vlan, kind="bond" if port.members else "internal")
        draft.set_port(bridge, moved)
        return
    if present is not None and present.kind in ("system", "internal", "patch"):
        draft.set_port(bridge, replace(present, vlan=keep))
        if present.kind == "system":
            enslave(draft, name)
        return
    if name in draft.links:
        _take_link(draft, bridge, Port(name, "system", vlan=vlan))
        return
    # nmstate (inter_ifaces_controller.rs, handle_changed_ports): an unknown port becomes an OVS internal interface.
    draft.set_port(bridge, Port(name, "internal", vlan=vlan))
    draft.links[name] = Link(name, "tap", up=True)


def _take_link(draft: Draft, bridge: str, port: Port) -> None:
    """A link of the node becomes a port; an internal one of another bridge stays what it is."""
    home, link = draft.host().bridge_of(port.name), draft.links[port.name]
    kind = home.ports[port.name].kind if home is not None else port.kind
    draft.release(port.name)
    if kind == "internal":
        draft.links[port.name] = link
    else:
        enslave(draft, port.name)
    draft.set_port(bridge, replace(port, kind=kind))


def _vlan(section: Mapping[str, Any] | None) -> PortVlan | None:
    if not section:
        return None
    mode = section.get("mode") or ("access" if section.get("tag") is not None else "trunk")
    trunks = tuple(sorted(trunk_tags(section.get("trunk-tags", ()))))
    return PortVlan(mode, section.get("tag"), trunks, bool(section.get("enable-native")))


def ovs_interface(draft: Draft, iface: Iface) -> None:
    name = iface.name
    wanted = iface.data.get("controller")
    if name in draft.bridges and draft.bridges[name].role != BOND_ROLE:
        draft.bridges[name] = replace(draft.bridges[name], local=True)
        draft.set_link(name, up=True)
        return
    home = draft.host().bridge_of(name)
    if home is None:
        if not wanted or wanted not in draft.bridges:
            # OVS internal interfaces cannot exist outside a bridge; nmstate finds none after the apply.
            return
        draft.set_port(wanted, Port(name, "internal"))
        home = draft.bridges[wanted]
    peer = (iface.data.get("patch") or {}).get("peer", "")
    port = home.ports[name]
    if peer:
        draft.set_port(home.name, replace(port, kind="patch", peer=peer))
        draft.links.pop(name, None)
    elif port.kind == "internal":
        draft.links.setdefault(name, Link(name, "tap", up=True))
        draft.set_link(name, up=True)
