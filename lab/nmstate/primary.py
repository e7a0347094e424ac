"""Where a node has its own address, by what nmstate reports: on a NIC, or on a Linux bridge over it.

Pure: a ``currentState`` in, what is otherwise than wanted out, in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Link = Mapping[str, Any]


def on_nic(state: Mapping[str, Any], address: str, nic: str) -> list[str]:
    """Why *address* is not leased by *nic* itself; nothing when it is."""
    link = _link(state, nic, "ethernet")
    if link is None:
        return [f"there is no NIC {nic}"]
    found = _leased(state, link, address)
    if controller := link.get("controller"):
        found.append(f"{nic} is a port of {controller}")
    return found


def on_bridge(state: Mapping[str, Any], address: str, bridge: str, nic: str) -> list[str]:
    """Why *address* is not leased by a Linux bridge that has *nic* as its port and no spanning tree."""
    link, port = _link(state, bridge, "linux-bridge"), _link(state, nic, "ethernet")
    if link is None:
        return [f"there is no Linux bridge {bridge}"]
    if port is None:
        return [f"there is no NIC {nic}"]
    found = _leased(state, link, address)
    ports = [str(p.get("name")) for p in (link.get("bridge") or {}).get("port") or []]
    if nic not in ports:
        found.append(f"{bridge} has the ports {', '.join(ports) or 'none'}")
    if port.get("controller") != bridge:
        found.append(f"{nic} is a port of {port.get('controller') or 'nothing'}")
    if addresses := _ipv4(port):
        found.append(f"{nic} has {', '.join(addresses)} itself")
    stp = ((link.get("bridge") or {}).get("options") or {}).get("stp") or {}
    if stp.get("enabled") is not False:
        found.append(f"spanning tree of {bridge} is {stp.get('enabled', 'not told')}")
    if str(link.get("mac-address", "")).lower() != str(port.get("mac-address", "")).lower():
        found.append(f"{bridge} has the MAC address {link.get('mac-address')}, {nic} {port.get('mac-address')}")
    return found


def _link(state: Mapping[str, Any], name: str, kind: str) -> Link | None:
    for link in state.get("interfaces") or []:
        if link.get("name") == name and link.get("type") == kind:
            return dict(link)
    return None


def _leased(state: Mapping[str, Any], link: Link, address: str) -> list[str]:
    found = []
    if address not in _ipv4(link):
        others = [str(i["name"]) for i in state.get("interfaces") or [] if address in _ipv4(i)]
        found.append(f"{address} is on {', '.join(others) or 'no interface'}, not on {link['name']}")
    if (link.get("ipv4") or {}).get("dhcp") is not True:
        found.append(f"{link['name']} does not ask for its address by DHCP")
    if link.get("state") != "up":
        found.append(f"{link['name']} is {link.get('state')}")
    return found


def _ipv4(link: Link) -> list[str]:
    return [str(a.get("ip")) for a in (link.get("ipv4") or {}).get("address") or []]
