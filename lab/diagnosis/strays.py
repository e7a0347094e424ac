"""Why packets pass that must not: a foreign MAC address that nobody checks, a NIC that no policy gives a bridge.

Reads, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.access.kinds import Obj
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.bridgedpath import unchecked
from lab.diagnosis.cause import Said
from lab.diagnosis.gather import scope_of, tell_cause
from lab.multus import bridgeports
from lab.nmstate import manifest
from lab.ovn.switch import NodeSwitch
from lab.topology.scene import Check
from lab.topology.site import Site

READ_S = 15.0
OWN = {"internal", "patch"}
"""Types of ports that are no NICs."""


def explain(site: Site, check: Check) -> str:
    """The cause of an answer that should not be, told to the record; "" where the VM's bridge has nothing strange."""
    segment, scope = check.guest.segment, scope_of(site, check.guest.segment, check.nodes)
    network = site.residents.networks.get(segment.name)
    if found := foreign(check):
        why = _unchecked(site, check, network.bridge) if network and network.bridge else ""
        found = Said(f"{found}: {why}", check.guest.node, "bridge") if why else found
        tell_cause(scope, found)
        return found
    if network is None or network.bridge:
        return ""
    node, bridge = check.guest.node, site.policies.mapped().get(network.localnet, "")
    switch = site.reader.read_all([node], deadline=Deadline.after(READ_S))[node]
    if isinstance(switch, LabError):
        return ""
    found = judge(switch, bridge, segment.name, site.policies.applied)
    if found:
        tell_cause(scope, found)
    return found


def _unchecked(site: Site, check: Check, name: str) -> str:
    """What the worker's packet filter lacks, by its own rules; "" where it could not be read."""
    node = check.guest.node
    try:
        said = site.reader.run(node, bridgeports.look(name), deadline=Deadline.after(READ_S))
        bridge = bridgeports.read_bridge(name, said.stdout)
    except (LabError, ValueError):
        return ""
    return unchecked(name, check.guest.worn, bridge) if bridge else ""


def foreign(check: Check) -> str:
    """That a guest was answered under another MAC address than the platform gave it; pure."""
    guest = check.guest
    if guest.worn == guest.mac:
        return ""
    said = f"on {guest.node} nothing checks what {guest.name} sends: it was answered under the foreign MAC address"
    return Said(f"{said} {guest.worn}", guest.node, "bridge")


def judge(switch: NodeSwitch, bridge: str, segment: str, policies: Sequence[Obj]) -> str:
    """The NICs of *bridge* beyond those that policies name; pure."""
    given = {
        str(port.get("name"))
        for policy in policies
        for entry in manifest.interfaces(policy)
        if entry.get("name") == bridge
        for port in (entry.get("bridge") or {}).get("port") or []
    }
    nics = [p.name for p in switch.on(bridge) if p.name not in given and not OWN & set(p.types)]
    if not nics:
        return ""
    said = f"{switch.node} has {', '.join(nics)} on {bridge}, which no policy gives it: {segment} passes there"
    return Said(said, switch.node, "bridge")
