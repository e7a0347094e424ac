"""Open vSwitch's part of a transition: one ``ovs-vsctl`` transaction, and what must be done around it.

Pure. What nmstate calls a bond or a port of a bridge is told apart again by keys in ``external_ids``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set

from lab.embedded.node.nmstate.model import BOND_ROLE, Bond, Bridge, Host, Link, Port

ROLE_KEY, BOND_KEY, LOCAL_KEY = "nmstate-role", "nmstate-bond", "nmstate-local"


def quote(text: str) -> str:
    """A string as OVSDB's command line reads it, whatever is in it."""
    return json.dumps(text)


def commands(current: Host, target: Host, known: Mapping[str, Link]) -> list[list[str]]:
    """What leads from one to the other, removals first; ``known`` are the links that live on."""
    removals: list[list[str]] = []
    additions: list[list[str]] = []
    for name, bridge in sorted(current.bridges.items()):
        wanted = target.bridges.get(name)
        if wanted is None or wanted.role != bridge.role:
            removals.append(["--if-exists", "del-br", name])
            continue
        removals += [
            ["--if-exists", "del-port", name, port.name]
            for port in bridge.ports.values()
            if port.name not in wanted.ports or _remade(port, wanted.ports[port.name])
        ]
    for name, bridge in sorted(target.bridges.items()):
        was = current.bridges.get(name)
        was = was if was is not None and was.role == bridge.role else None
        additions += _bridge_commands(bridge, was)
        for port in sorted(bridge.ports.values(), key=lambda p: p.name):
            old = was.ports.get(port.name) if was is not None else None
            additions += _port_commands(name, port, None if old is not None and _remade(old, port) else old)
    for name, link in sorted(target.links.items()):
        if link.kind == "tap":
            additions += _tap_commands(link, known.get(name))
    if current.mappings != target.mappings:
        additions.append(_mapping_command(target.mappings))
    return removals + additions


def _remade(old: Port, new: Port) -> bool:
    return (old.kind, set(old.members), old.peer) != (new.kind, set(new.members), new.peer)


def _bridge_commands(bridge: Bridge, was: Bridge | None) -> list[list[str]]:
    commands: list[list[str]] = []
    if was is None:
        ids = [f"external_ids:{ROLE_KEY}={bridge.role}"] if bridge.role else []
        commands.append(["add-br", bridge.name])
        commands.append(["set", "Bridge", bridge.name, "datapath_type=netdev", *ids])
    start = was or Bridge(bridge.name)
    columns: list[str] = []
    for column, new, old in (
        ("stp_enable", bridge.stp, start.stp),
        ("rstp_enable", bridge.rstp, start.rstp),
        ("mcast_snooping_enable", bridge.mcast, start.mcast),
    ):
        if new != old:
            columns.append(f"{column}={str(new).lower()}")
    if bridge.fail_mode != start.fail_mode:
        if bridge.fail_mode:
            columns.append(f"fail_mode={bridge.fail_mode}")
        else:
            commands.append(["clear", "Bridge", bridge.name, "fail_mode"])
    if columns:
        commands.append(["set", "Bridge", bridge.name, *columns])
    if bridge.local != start.local and bridge.role != BOND_ROLE:
        if bridge.local:
            commands.append(["set", "Port", bridge.name, f"external_ids:{LOCAL_KEY}=true"])
        else:
            commands.append(["remove", "Port", bridge.name, "external_ids", LOCAL_KEY])
    return commands


def _port_commands(bridge: str, port: Port, old: Port | None) -> list[list[str]]:
    if port.kind == "other":
        return []
    commands: list[list[str]] = []
    if old is None:
        commands += _new_port(bridge, port)
    elif old.bond != port.bond and port.bond is not None:
        commands += _bond_columns(port, old.bond)
    if port.vlan != (old.vlan if old is not None else None):
        if old is not None and old.vlan is not None:
            commands.append(["clear", "Port", port.name, "tag", "trunks", "vlan_mode"])
        if port.vlan is not None:
            commands.append(["set", "Port", port.name, *_vlan_columns(port)])
    return commands


def _new_port(bridge: str, port: Port) -> list[list[str]]:
    if port.kind == "bond":
        commands = [
            [f"--id=@{_label(port.name)}{index}", "create", "Interface", f"name={quote(member)}"]
            for index, member in enumerate(port.members)
        ]
        ids = ",".join(f"@{_label(port.name)}{index}" for index in range(len(port.members)))
        commands.append(
            [f"--id=@{_label(port.name)}", "create", "Port", f"name={quote(port.name)}", f"interfaces=[{ids}]"]
        )
        commands.append(["add", "Bridge", bridge, "ports", f"@{_label(port.name)}"])
        return commands + _bond_columns(port, None)
    commands = [["add-port", bridge, port.name]]
    if port.kind == "internal":
        commands.append(["set", "Interface", port.name, "type=internal"])
    elif port.kind == "patch":
        commands.append(["set", "Interface", port.name, "type=patch", f"options:peer={quote(port.peer)}"])
    if port.bond is not None:
        commands.append(["set", "Port", port.name, f"external_ids:{BOND_KEY}={quote(port.bond.mode)}"])
    return commands


def _label(name: str) -> str:
    return "p" + "".join(sign if sign.isalnum() else "_" for sign in name)


def _bond_columns(port: Port, was: Bond | None) -> list[list[str]]:
    bond = port.bond
    assert bond is not None
    commands = []
    if was is not None and was.other != bond.other:
        commands.append(["clear", "Port", port.name, "other_config"])
    columns = [
        f"lacp={bond.lacp}",
        f"bond_mode={bond.bond_mode}",
        f"bond_updelay={bond.updelay}",
        f"bond_downdelay={bond.downdelay}",
        *(f"other_config:{key}={quote(value)}" for key, value in bond.other),
    ]
    if not bond.own:
        columns.append(f"external_ids:{BOND_KEY}={quote(bond.mode)}")
    return [*commands, ["set", "Port", port.name, *columns]]


def _vlan_columns(port: Port) -> list[str]:
    vlan = port.vlan
    assert vlan is not None
    if vlan.mode == "access":
        return ["vlan_mode=access", f"tag={vlan.tag or 0}"]
    columns = [f"trunks=[{','.join(map(str, vlan.trunks))}]"] if vlan.trunks else []
    if vlan.native:
        return [*columns, "vlan_mode=native-untagged", f"tag={vlan.tag or 0}"]
    return [*columns, "vlan_mode=trunk"]


def _tap_commands(link: Link, was: Link | None) -> list[list[str]]:
    start = was or Link(link.name, "tap")
    columns = []
    if link.mtu != start.mtu:
        columns.append(f"mtu_request={link.mtu}")
    if link.mac and link.mac != start.mac:
        columns.append(f"mac={quote(link.mac)}")
    return [["set", "Interface", link.name, *columns]] if columns else []


def _mapping_command(mappings: Mapping[str, str]) -> list[str]:
    if not mappings:
        return ["remove", "Open_vSwitch", ".", "external_ids", "ovn-bridge-mappings"]
    text = ",".join(f"{localnet}:{bridge}" for localnet, bridge in mappings.items())
    return ["set", "Open_vSwitch", ".", f"external_ids:ovn-bridge-mappings={quote(text)}"]


def joined(commands: Iterable[list[str]]) -> list[str]:
    """Several commands as the words of one transaction."""
    words: list[str] = []
    for command in commands:
        words += (["--"] if words else []) + command
    return words


def stp_pause(current: Host, target: Host) -> tuple[str, ...]:
    """Bridges with spanning tree on that gain a bond.

    Open vSwitch before its commit 332ca1dad (2026-06) never floods to a bond that joins a bridge whose
    spanning tree is on.  Switching it off meanwhile costs what a kernel bond would cost as well: the
    ports listen and learn again.
    """
    found = []
    for name, bridge in sorted(target.bridges.items()):
        was = current.bridges.get(name)
        if was is None or not (was.stp and bridge.stp):
            continue
        bonds = [port for port in bridge.ports.values() if port.bond is not None]
        if any(port.name not in was.ports or _remade(was.ports[port.name], port) for port in bonds):
            found.append(name)
    return tuple(found)


def lacp_restart(current: Host, target: Host) -> tuple[str, ...]:
    """Bonds that stay and get another LACP rate.

    The kernel's driver takes it only while the bond is down (drivers/net/bonding/bond_options.c, BOND_OPT_LACP_RATE),
    so that LACP begins anew. Open vSwitch goes on, and waits for the next LACPDU of the former rate, 30 s perhaps.
    """
    was = {port.name: port for bridge in current.bridges.values() for port in bridge.ports.values()}
    found = []
    for port in (port for bridge in target.bridges.values() for port in bridge.ports.values()):
        old = was[port.name].bond if port.name in was else None
        if old and port.bond and old.lacp == port.bond.lacp == "active" and _rate(old) != _rate(port.bond):
            found.append(port.name)
    return tuple(sorted(found))


def _rate(bond: Bond) -> str:
    return dict(bond.other).get("lacp-time", "slow")


def offloads(current: Host, target: Host, reborn: Set[str]) -> list[str]:
    """Links that become ports of the userspace datapath: a frame with a checksum left to hardware dies there."""

    def attached(host: Host) -> set[str]:
        found: set[str] = set()
        for bridge in host.bridges.values():
            for port in bridge.ports.values():
                if port.kind in ("system", "bond"):
                    found.update(port.members or (port.name,))
                elif port.kind == "internal":
                    found.add(port.name)
            if bridge.role == BOND_ROLE or bridge.local:
                found.add(bridge.name)
        return found

    fresh = (attached(target) - attached(current)) | (attached(target) & reborn)
    return sorted(name for name in fresh if name in target.links)
