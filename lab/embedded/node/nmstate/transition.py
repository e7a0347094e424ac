"""The commands that lead from one Host to another, in an order that works.

Pure. One ``ovs-vsctl`` transaction and two ``ip`` batches (before it: let go; after it: take hold) whatever the
size of the change; no commands when the two are equal. Rollback is a transition back, restricted to what the
apply had touched, since OVN and pods go on changing the node meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from lab.embedded.model.vlans import spans
from lab.embedded.node.nmstate.model import BOND_ROLE, Bond, Bridge, Host, Link, Port, PortVlan, Route

T = TypeVar("T")
ROLE_KEY, BOND_KEY, LOCAL_KEY = "nmstate-role", "nmstate-bond", "nmstate-local"


@dataclass(frozen=True)
class Steps:
    """What to run, in this order: stop DHCP, ``before``, ``ovs``, offloads, ``after``, ``vlans``, ipv6, DNS, DHCP.

    ``stp_pause`` names the bridges whose spanning tree is off while ``ovs`` runs, ``lacp_restart`` the bonds whose LACP
    is off before it.
    """

    dhcp_stop: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    ovs: tuple[str, ...] = ()
    stp_pause: tuple[str, ...] = ()
    lacp_restart: tuple[str, ...] = ()
    offloads: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    vlans: tuple[str, ...] = ()
    ipv6: tuple[tuple[str, bool], ...] = ()
    dns: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    dhcp_start: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Steps()

    def lines(self) -> list[str]:
        """All changes as a person would type them, for the log."""
        vsctl = " ".join(self.ovs).split(" -- ") if self.ovs else []
        return [
            *(f"stop dhcp on {name}" for name in self.dhcp_stop),
            *(f"ip {line}" for line in self.before),
            *(f"ovs-vsctl {part}" for part in vsctl),
            *(f"ip {line}" for line in self.after),
            *(f"bridge {line}" for line in self.vlans),
            *(f"dns {self.dns}" for _ in [0] if self.dns is not None),
            *(f"dhcp on {name}" for name in self.dhcp_start),
        ]


def transition(current: Host, target: Host) -> Steps:
    """The steps from ``current`` to ``target``."""
    reborn = _reborn(current, target)
    known = {name: link for name, link in current.links.items() if name not in reborn}
    ovs = _ovs(current, target, known)
    return Steps(
        dhcp_stop=tuple(sorted(current.dhcp - target.dhcp)),
        before=tuple(_before(current, target, known)),
        ovs=tuple(_joined(ovs)),
        stp_pause=_stp_pause(current, target),
        lacp_restart=_lacp_restart(current, target),
        offloads=tuple(_offloads(current, target, reborn)),
        after=tuple(_after(current, target, known)),
        vlans=tuple(_vlans(target, known)),
        ipv6=tuple(
            (name, link.ipv6)
            for name, link in sorted(target.links.items())
            if link.ipv6 != (known[name].ipv6 if name in known else True)
        ),
        dns=_dns(current, target),
        dhcp_start=tuple(sorted(target.dhcp - (current.dhcp - reborn))),
    )


def _dns(current: Host, target: Host) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    wanted = (target.dns_servers, target.dns_search)
    return None if wanted == (current.dns_servers, current.dns_search) else wanted


def restoration(checkpoint: Host, planned: Host, now: Host) -> Host:
    """``now`` with everything that the step checkpoint -> planned had changed put back as in ``checkpoint``."""
    links = _put_back(checkpoint.links, planned.links, now.links)
    bridges = dict(now.bridges)
    for name in {*checkpoint.bridges, *planned.bridges}:
        was, meant, found = checkpoint.bridges.get(name), planned.bridges.get(name), now.bridges.get(name)
        if was == meant:
            continue
        if was is None:
            bridges.pop(name, None)
        elif found is None or meant is None:
            bridges[name] = was
        else:
            bridges[name] = replace(was, ports=_put_back(was.ports, meant.ports, found.ports))
    touched = {name for name in links if checkpoint.links.get(name) != planned.links.get(name)}
    routes = {r for r in now.routes if r in checkpoint.routes or r not in planned.routes}
    routes |= {r for r in checkpoint.routes if r not in planned.routes or r.dev in touched}
    return Host(
        links=links,
        bridges=bridges,
        mappings=dict(sorted(_put_back(checkpoint.mappings, planned.mappings, now.mappings).items())),
        routes=frozenset(r for r in routes if r.dev in links),
        dhcp=(now.dhcp - (planned.dhcp - checkpoint.dhcp)) | checkpoint.dhcp,
        dns_servers=checkpoint.dns_servers,
        dns_search=checkpoint.dns_search,
        filters=now.filters,
    )


def _put_back(was: Mapping[str, T], meant: Mapping[str, T], found: Mapping[str, T]) -> dict[str, T]:
    result = dict(found)
    for name in {*was, *meant}:
        if was.get(name) == meant.get(name):
            continue
        if name in was:
            result[name] = was[name]
        else:
            result.pop(name, None)
    return result


def _internals(host: Host) -> dict[str, tuple[str, str]]:
    """Kernel taps that OVS makes, with what makes them."""
    found: dict[str, tuple[str, str]] = {}
    for bridge in host.bridges.values():
        found[bridge.name] = (bridge.name, "local")
        for port in bridge.ports.values():
            if port.kind == "internal":
                found[port.name] = (bridge.name, "port")
    return found


def _reborn(current: Host, target: Host) -> set[str]:
    """Taps that vanish and come again, so that nothing of theirs survives."""
    was, becomes = _internals(current), _internals(target)
    return {name for name, maker in becomes.items() if name in current.links and was.get(name) != maker}


def quote(text: str) -> str:
    """A string as OVSDB's command line reads it, whatever is in it."""
    return json.dumps(text)


def _joined(commands: Iterable[list[str]]) -> list[str]:
    words: list[str] = []
    for command in commands:
        words += (["--"] if words else []) + command
    return words


def _before(current: Host, target: Host, known: Mapping[str, Link]) -> list[str]:
    lines: list[str] = []
    for route in sorted(current.routes - target.routes, key=lambda r: r.key):
        if route.protocol == "kernel" or any(r.key == route.key for r in target.routes):
            continue
        lines.append(f"route del {_route(route)}")
    for name, link in sorted(current.links.items()):
        wanted = target.links.get(name)
        if wanted is None:
            if link.kind == "bridge":
                lines.append(f"link del dev {name}")
            continue
        if name not in known:
            continue
        lines += [f"addr del {address} dev {name}" for address in sorted(link.addresses - wanted.addresses)]
        lines += [f"addr del {address} dev {name}" for address in sorted(link.dynamic - wanted.dynamic)]
        if link.master and link.master != wanted.master:
            lines.append(f"link set dev {name} nomaster")
    return lines


def _after(current: Host, target: Host, known: Mapping[str, Link]) -> list[str]:
    lines: list[str] = []
    for name, link in sorted(target.links.items()):
        if link.kind == "bridge":
            lines += _bridge_lines(link, known.get(name))
    for name, link in sorted(target.links.items()):
        was = known.get(name)
        if link == was:
            continue
        start = was or Link(name, link.kind, mtu=link.mtu if link.kind == "tap" else 1500)
        if link.kind != "tap" and link.mtu != start.mtu:
            lines.append(f"link set dev {name} mtu {link.mtu}")
        if link.kind != "tap" and link.mac and link.mac != start.mac and (was is not None or link.kind == "bridge"):
            lines.append(f"link set dev {name} address {link.mac}")
        if link.master and link.master != start.master:
            lines.append(f"link set dev {name} master {link.master}")
        if link.up != start.up:
            lines.append(f"link set dev {name} {'up' if link.up else 'down'}")
        lines += [f"addr replace {address} dev {name}" for address in sorted(link.addresses - start.addresses)]
    changed = {name for name, link in target.links.items() if link != known.get(name)}
    for route in sorted(target.routes, key=lambda r: (bool(r.via), r.key)):
        # Taking the last address or the link down makes the kernel forget a device's routes: they are put again.
        if route.protocol != "kernel" and (route not in current.routes or route.dev in changed):
            lines.append(f"route replace {_route(route)}")
    return lines


def _bridge_lines(link: Link, was: Link | None) -> list[str]:
    lines = [] if was is not None else [f"link add dev {link.name} type bridge"]
    options = [f"{key} {value}" for key, value in link.options if was is None or dict(was.options).get(key) != value]
    if options:
        lines.append(f"link set dev {link.name} type bridge {' '.join(options)}")
    return lines


def _vlans(target: Host, known: Mapping[str, Link]) -> list[str]:
    """VLANs of ports of Linux bridges. A port that joins has the bridge's default VLAN, one that leaves has none."""
    lines: list[str] = []
    for name, link in sorted(target.links.items()):
        bridge, was = target.links.get(link.master), known.get(name)
        if bridge is None or bridge.kind != "bridge":
            continue
        stays = was is not None and was.master == link.master and link.master in known
        old = (was.vlan if was is not None and stays else None) or PortVlan("access")
        new = link.vlan or PortVlan("access")
        if new != old:
            lines += _vlan_lines(name, old, new, dict(bridge.options).get("vlan_default_pvid", 1))
    return lines


def _vlan_lines(port: str, old: PortVlan, new: PortVlan, default: int) -> list[str]:
    was, becomes = set(old.trunks), set(new.trunks)
    gone = (was | ({old.tag} if old.tag else set())) - becomes - ({new.tag} if new.tag else set())
    # Adding a VLAN again sets its flags anew: what was the untagged one becomes one of the trunk.
    fresh = becomes - (was - ({old.tag} if old.tag else set()))
    lines = [f"vlan del dev {port} vid {span}" for span in spans(gone)]
    lines += [f"vlan add dev {port} vid {span}" for span in spans(fresh)]
    if new.tag != old.tag or (new.tag and new.tag in fresh):
        untagged = new.tag or default
        lines += [f"vlan add dev {port} vid {untagged} pvid untagged"] if untagged else []
    return lines


def _route(route: Route) -> str:
    via = f" via {route.via}" if route.via else ""
    metric = f" metric {route.metric}" if route.metric else ""
    return f"{route.destination}{via} dev {route.dev}{metric} table {route.table} proto {route.protocol}"


def _stp_pause(current: Host, target: Host) -> tuple[str, ...]:
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


def _lacp_restart(current: Host, target: Host) -> tuple[str, ...]:
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


def _ovs(current: Host, target: Host, known: Mapping[str, Link]) -> list[list[str]]:
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


def _offloads(current: Host, target: Host, reborn: set[str]) -> list[str]:
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
