"""The stations of a VM on a Linux bridge of its node: its port, the spoof check, the NIC below. Pure.

A Linux bridge keeps no flows: that frames of one MAC address go out by the NIC cannot be read, only that the bridge
took them in. What is lost behind it is the witnesses' to tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.diagnosis.stations import Station
from lab.multus.bridgeports import BridgePort, LinuxBridge

HELD = ("disabled", "listening", "learning", "blocking")


def bridged(
    who: tuple[str, str, str], node: str, name: str, nics: tuple[str, ...], looks: tuple[LinuxBridge, LinuxBridge]
) -> Iterator[Station]:
    """*who*: a VM's name, the MAC address it sends from, and its own; *nics* are the bridge's by the policy."""
    vm, mac, own = who
    before, after = looks
    heard = after.heard.get(mac) or after.heard.get(own)
    port = after.ports.get(heard[0]) if heard else None
    if port is None:
        said = f"{name} has learned {mac} on none of its ports"
        yield Station(f"port of {vm} on {name}", node, "bridge", 0, None, said)
    else:
        yield _port(vm, mac, node, after, (before.ports.get(port.name, port), port))
    if nics:
        yield _below(node, after, nics)


def _port(vm: str, mac: str, node: str, bridge: LinuxBridge, ports: tuple[BridgePort, BridgePort]) -> Station:
    before, port = ports
    only, wrong = (bridge.allowed or {}).get(port.name, ""), ""
    if only and only != mac:
        wrong = f"{node}: macspoofchk lets only {only} in by {port.name}, and {vm} sends from {mac}"
    elif port.state == "disabled":
        wrong = f"{node}: {port.name}, the port of {vm} on {bridge.name}, is disabled: it forwards nothing"
    elif port.state in HELD:
        wrong = f"spanning tree on {node} does not forward yet: {port.name} of {bridge.name} is {port.state}"
    said = f"{port.state}" + (f", only {only}" if only else "") + (f", VLANs {port.vlans}" if port.vlans else "")
    there, back = port.rx - before.rx, port.tx - before.tx
    return Station(f"{port.name} on {bridge.name}", node, "bridge", there, back, said, wrong)


def _below(node: str, bridge: LinuxBridge, nics: tuple[str, ...]) -> Station:
    ports = [bridge.ports[nic] for nic in nics if nic in bridge.ports]
    place = f"{', '.join(p.name for p in ports) or 'no NIC'} below {bridge.name}"
    wrong = ""
    if not ports:
        wrong = f"{node}: {', '.join(nics)} is no port of {bridge.name}: it has no uplink"
    elif not any(p.link for p in ports):
        wrong = f"{node}: {', '.join(p.name for p in ports)} below {bridge.name} has no link"
    elif all(p.state in HELD for p in ports):
        wrong = f"spanning tree on {node} does not forward yet: {ports[0].name} of {bridge.name} is {ports[0].state}"
    part = "bridge" if "spanning" in wrong else "uplink"
    others = sum(1 for where, age in bridge.heard.values() if where in nics and age <= 5)
    return Station(place, node, part, None, None, f"{others} hosts were heard over it in the last 5 s", wrong)


def unchecked(name: str, mac: str, bridge: LinuxBridge) -> str:
    """Why frames with a foreign MAC address pass: the spoof check of the port is gone; empty when it is there."""
    port = bridge.heard.get(mac, ("", 0))[0]
    if not port or (bridge.allowed or {}).get(port):
        return ""
    what = "no table bridge nat" if bridge.allowed is None else f"no rule of macspoofchk for {port}"
    return f"its packet filter has {what}, {port} on {name} takes any address in"
