"""iproute2's part of a transition: lines for ``ip -batch`` before and after Open vSwitch's, and for ``bridge -batch``.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.model.vlans import spans
from lab.embedded.node.nmstate.model import Host, Link, PortVlan, Route


def before(current: Host, target: Host, known: Mapping[str, Link]) -> list[str]:
    """What lets go; ``known`` are the links that live on."""
    lines: list[str] = []
    for route in sorted(current.routes - target.routes, key=lambda r: r.key):
        if route.protocol == "kernel" or any(r.key == route.key for r in target.routes):
            continue
        lines.append(f"route del {_route_words(route)}")
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


def after(current: Host, target: Host, known: Mapping[str, Link]) -> list[str]:
    """What takes hold."""
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
            lines.append(f"route replace {_route_words(route)}")
    return lines


def _bridge_lines(link: Link, was: Link | None) -> list[str]:
    lines = [] if was is not None else [f"link add dev {link.name} type bridge"]
    options = [f"{key} {value}" for key, value in link.options if was is None or dict(was.options).get(key) != value]
    if options:
        lines.append(f"link set dev {link.name} type bridge {' '.join(options)}")
    return lines


def vlans(target: Host, known: Mapping[str, Link]) -> list[str]:
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


def _route_words(route: Route) -> str:
    via = f" via {route.via}" if route.via else ""
    metric = f" metric {route.metric}" if route.metric else ""
    return f"{route.destination}{via} dev {route.dev}{metric} table {route.table} proto {route.protocol}"
