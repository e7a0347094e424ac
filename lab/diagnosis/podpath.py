"""Where on the pod network a packet is lost: its path walked port by port, zone by zone, the first wrong place named.

Routes are judged before, by the audit; this is what stands between right routes and packets that arrive. A place is
blamed for what its own tables and counters say, never because nothing else is left.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, LabError
from lab.diagnosis.cause import Said
from lab.ovn.reader import SwitchReader
from lab.ovn.zonestate import ARGV, ZoneState, read_zone, trace

LOOK_S = 30.0
SENT = 3
"""Packets that must have gone into a tunnel before it is blamed for letting none out."""


@dataclass(frozen=True)
class End:
    """One end of the path: a pod's or VM's logical port on a node. An outside host has neither."""

    what: str
    address: str
    node: str = ""
    port: str = ""

    def __str__(self) -> str:
        return self.what


def port_name(namespace: str, pod: str) -> str:
    """OVN-Kubernetes' name of a pod's logical port (go-controller/pkg/util, GetLogicalPortName)."""
    return f"{namespace}_{pod}"


def explain(reader: SwitchReader, source: End, target: End, send: Callable[[], object]) -> tuple[str, list[str]]:
    """The first place where packets from *source* to *target* are lost (a Said where it has one), and what each zone
    said; *send* sends some.

    Says what could not be read, and, when no place is to blame, what OVN itself says it does to such a packet.
    """
    deadline, nodes = Deadline.after(LOOK_S), [*dict.fromkeys(end.node for end in (source, target) if end.node)]
    before = _states(reader, nodes, deadline)
    try:
        send()
        sending = ""
    except LabError as error:
        sending = f" (nothing more could be sent: {error.headline})"
    after = _states(reader, nodes, deadline)
    for node, state in after.items():
        if isinstance(state, LabError):
            return f"the zone of {node} could not be read ({state.headline})", []
    whole = _whole(before), _whole(after)
    found, told = first_loss(source, target, *whole), lines(source, target, *whole)
    if found:
        return found, told
    said = _traced(reader, source, target, deadline)
    return f"every zone has what it needs for it{sending}; {said}", [*told, said]


def lines(source: End, target: End, before: Mapping[str, ZoneState], after: Mapping[str, ZoneState]) -> list[str]:
    """Pure: what each zone said of its end and of the tunnel to the other, for people."""
    found = [f"{source} -> {target}"]
    for end, other in ((source, target), (target, source)):
        if end.node not in after:
            continue
        zone = after[end.node]
        port = port_trouble(end, zone) or f"{zone.node}: {end.port} is bound, its flows are installed"
        found += [port, *daemons(zone)]
        if other.node in before and other.node in after and other.node != end.node:
            sent, came = _through(before, after, end.node, other.node)
            found.append(f"{end.node}: tunnel to {other.node}: {sent} packets in, {came} out on {other.node}")
    return found


def first_loss(source: End, target: End, before: Mapping[str, ZoneState], after: Mapping[str, ZoneState]) -> str:
    """Pure: the first place on the way there, then back; empty when none is to blame."""
    return next(filter(None, _places(source, target, before, after)), "")


def _places(source: End, target: End, before: Mapping[str, ZoneState], after: Mapping[str, ZoneState]) -> Iterator[str]:
    here = after[source.node]
    yield port_trouble(source, here)
    yield from daemons(here)
    if not target.node:
        yield _snat(source, here)
        return
    there = after[target.node]
    if here is not there:
        yield _tunnel(before, after, source.node, target.node)
    yield from daemons(there)
    yield port_trouble(target, there)
    if here is not there:
        yield _tunnel(before, after, target.node, source.node)


def port_trouble(end: End, zone: ZoneState) -> str:
    """What is wrong with the logical port of an end; a Said."""
    text = _port_trouble(end, zone)
    return Said(text, zone.node, "ovn") if text else ""


def _port_trouble(end: End, zone: ZoneState) -> str:
    port, interface = f"the logical port {end.port} of {end}", zone.plugged.get(end.port, "")
    if end.port not in zone.bound:
        return f"{zone.node}: {port} is not in the zone's southbound database"
    if not interface:
        return f"{zone.node}: {port} is bound nowhere: no interface of Open vSwitch there has it as its iface-id"
    if not zone.bound[end.port]:
        return f"{zone.node}: {port} is bound to no chassis, although interface {interface} has it"
    if end.port not in zone.installed:
        return f"{zone.node}: {port} has no flows: ovn-controller did not install them on {interface}"
    return ""


def daemons(zone: ZoneState) -> Iterator[str]:
    """What is wrong with what keeps a zone's switch up to date."""
    if zone.northd:
        text = (
            f"{zone.node}: ovn-northd of the zone does not work ({zone.northd}): its southbound database is stale, "
            "and routes and ports that are new since then exist in the northbound one only"
        )
        yield Said(text, zone.node, "ovn")
    if zone.controller:
        text = (
            f"{zone.node}: ovn-controller does not work ({zone.controller}): the flows of br-int are stale, "
            "and what is new in the zone does not get into them"
        )
        yield Said(text, zone.node, "ovn")


def _snat(source: End, zone: ZoneState) -> str:
    address = ipaddress.ip_address(source.address)
    nets = [ipaddress.ip_network(net, strict=False) for net in zone.snat]
    if any(address in net for net in nets if net.version == address.version):
        return ""
    have = ", ".join(zone.snat) or "none"
    text = (
        f"{zone.node}: gateway router GR_{zone.node} has no snat rule for {address} ({have}): its packets leave with "
        "a pod's address, and no answer finds its way back"
    )
    return Said(text, zone.node, "ovn")


def _through(
    before: Mapping[str, ZoneState], after: Mapping[str, ZoneState], source: str, target: str
) -> tuple[int, int]:
    """Packets that went into a tunnel on one node since the first look, and that came out of it on the other."""
    counts = [(z[source].to(z[target]), z[target].to(z[source])) for z in (before, after)]
    (out, into), (late_out, late_into) = (((o.sent if o else 0), (i.received if i else 0)) for o, i in counts)
    return late_out - out, late_into - into


def _tunnel(before: Mapping[str, ZoneState], after: Mapping[str, ZoneState], source: str, target: str) -> str:
    """What the counters at both ends of one direction say."""
    out, into = after[source].to(after[target]), after[target].to(after[source])
    if out is None:
        return Said(f"{source}: br-int has no tunnel to {target} ({', '.join(after[target].encaps)})", source, "ovn")
    if into is None or source not in before or target not in before:
        return ""
    sent, received = _through(before, after, source, target)
    if sent < SENT or received:
        return ""
    text = (
        f"{source}: tunnel {out.name} to {target} ({out.remote}) loses everything: {sent} packets went into it on "
        f"{source}, none came out of {into.name} on {target}; the network between the nodes drops geneve (UDP 6081)"
    )
    return Said(text, source, "cable")


def _states(reader: SwitchReader, nodes: list[str], deadline: Deadline) -> dict[str, ZoneState | LabError]:
    def one(node: str) -> ZoneState | LabError:
        try:
            result = reader.run(node, ARGV, deadline=deadline)
            try:
                return read_zone(node, result.stdout)
            except (ValueError, KeyError, TypeError) as error:
                return CommandFailed(result, wanted=f"the state of the zone of {node} ({error})")
        except LabError as error:
            return error

    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        return dict(zip(nodes, pool.map(one, nodes), strict=True))


def _whole(states: Mapping[str, ZoneState | LabError]) -> dict[str, ZoneState]:
    return {node: state for node, state in states.items() if isinstance(state, ZoneState)}


def _traced(reader: SwitchReader, source: End, target: End, deadline: Deadline) -> str:
    """OVN's own word on such a packet, from the zone where it starts."""
    try:
        said = reader.run(
            source.node, trace(source.node, source.port, source.address, target.address), deadline=deadline
        )
    except LabError as error:
        return f"ovn-trace could not be run on {source.node} ({error.headline})"
    lines = [line.strip() for line in said.output.splitlines() if line.strip() and not line.startswith("#")]
    return f"ovn-trace on {source.node} says of it: {' '.join(lines) or 'nothing: dropped'}"
