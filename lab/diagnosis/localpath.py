"""The stations of a VM on a localnet: guest, tap, br-int, OVN, patch port, bridge, uplink. Pure: readings to stations.

Each station says what it counted between two looks, or what the MAC tables and flows say of this guest's own frames.
The switch is nobody's to read: the last station is the uplink, by what goes into it and what comes back over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.diagnosis.bridgedpath import bridged
from lab.diagnosis.podpath import End, daemons, port_trouble
from lab.diagnosis.stations import Station
from lab.multus.bridgeports import LinuxBridge
from lab.ovn.frames import INTEGRATION, Flow, Looked, Trace
from lab.ovn.switch import NodeSwitch, SwitchPort, localnet_port
from lab.ovn.zonestate import ZoneState

Counts = Mapping[str, tuple[int, int]]
"""Device -> packets received, packets sent: its own point of view."""


@dataclass(frozen=True)
class Subject:
    """Whose path it is: the VM with its MAC address and pod, on which node; the network; who is asked."""

    vm: str
    mac: str
    address: str
    namespace: str
    pod: str
    node: str
    segment: str
    vlan: int
    localnet: str
    """As mappings name it; empty for the pod network, whose path goes on in `podpath`."""
    network: str
    """As OVN names it."""
    target: str
    own: str = ""
    """The MAC address that it was given, where that is another than it sends from."""
    bridge: str = ""
    """The Linux bridge that it is plugged into; empty for a network of OVN."""
    nics: tuple[str, ...] = ()
    """The NICs below that bridge, by the policy."""

    def port(self, switch: NodeSwitch) -> SwitchPort | None:
        """Its port on br-int: attached for its MAC address, else the only one that is named after its pod."""
        all_ = switch.on(INTEGRATION)
        mine = [p for p in all_ if p.logical.endswith(f"{self.namespace}_{self.pod}") and not p.mac]
        return next((p for p in all_ if p.mac == self.mac), mine[0] if len(mine) == 1 else None)


@dataclass(frozen=True)
class Far:
    """The other node, where the peer runs: its switch after the packets, and this guest's frames there meanwhile."""

    node: str
    after: Looked
    flows: tuple[Flow, ...]


@dataclass(frozen=True)
class Readings:
    """What was read of one walk; None for what could not be."""

    guest: tuple[Counts, Counts] | None = None
    nic: str = ""
    received: int | None = None
    """Answers to the guest's pings."""
    pod: tuple[Counts, Counts] | None = None
    tap: str = ""
    cable: str = ""
    """The pod's own end of its cable."""
    before: Looked | None = None
    after: Looked | None = None
    flows: tuple[Flow, ...] | None = None
    trace: Trace | None = None
    zone: ZoneState | None = None
    bridges: tuple[LinuxBridge, LinuxBridge] | None = None
    beside: Mapping[str, bool] = field(default_factory=dict)
    """Other VLANs over the same bridge of the node -> whether their resident there had an answer meanwhile."""
    target_mac: str = ""
    far: Far | None = None
    seconds: float = 0.0
    """Between the two looks at the switch: who was heard no longer ago was heard in the walk."""
    unread: tuple[str, ...] = field(default=())


def stations(subject: Subject, seen: Readings) -> tuple[Station, ...]:
    """From the guest's NIC to the uplink, as far as something was read."""
    return tuple(_stations(subject, seen))


def _stations(subject: Subject, seen: Readings) -> Iterator[Station]:
    node = subject.node
    if seen.guest and seen.nic:
        received, sent = _more(seen.guest, seen.nic)
        yield Station(f"NIC {seen.nic} of the guest", node, "vm", sent, received)
    if seen.pod and seen.tap:
        received, sent = _more(seen.pod, seen.tap)
        yield Station(f"tap {seen.tap}", node, "tap", received, sent)
    if seen.pod and seen.cable:
        received, sent = _more(seen.pod, seen.cable)
        yield Station(f"{seen.cable} of the pod", node, "tap", sent, received)
    if seen.bridges:
        who = subject.vm, subject.mac, subject.own or subject.mac
        yield from bridged(who, node, subject.bridge, subject.nics, seen.bridges)
    if seen.before and seen.after:
        yield from _switched(subject, seen, seen.before, seen.after)


def _more(counts: tuple[Counts, Counts], device: str) -> tuple[int, int]:
    (rx, tx), (later_rx, later_tx) = (look.get(device, (0, 0)) for look in counts)
    return later_rx - rx, later_tx - tx


def _switched(subject: Subject, seen: Readings, before: Looked, after: Looked) -> Iterator[Station]:
    node, port = subject.node, subject.port(after.switch)
    if port is None:
        yield Station("br-int", node, "ovn", wrong=_unplugged(subject, seen.zone))
        return
    there, back = (late - early for late, early in zip(after.count(port), before.count(port), strict=True))
    yield Station(f"{port.name} on br-int", node, "ovn", there, back)
    if not port.logical:
        yield Station("OVN", node, "ovn", wrong=_unplugged(subject, seen.zone))
    else:
        yield _logical(subject, seen, port)
    if not subject.localnet:
        return
    bridge = after.switch.mappings.get(subject.localnet, "")
    if not bridge:
        wrong = (
            f"{node} has no OVN bridge mapping for {subject.localnet} ({subject.segment}) in its Open vSwitch: "
            "nothing of that network leaves the node"
        )
        yield Station("bridge mapping", node, "mapping", wrong=wrong)
        return
    yield _patch(subject, seen, after, bridge)
    yield _uplink(subject, seen, before, after, bridge)
    if seen.far is not None:
        yield from _arrived(subject, seen.far, seen.target_mac)


def _unplugged(subject: Subject, zone: ZoneState | None) -> str:
    """Why br-int has no interface of the VM, in OVN's words where its zone could be read."""
    own = f"{subject.namespace}_{subject.pod}"
    mine = [
        name for name in (zone.bound if zone else ()) if name.endswith(own) and bool(subject.localnet) != (name == own)
    ]
    said = [port_trouble(_end(subject, name), zone) for name in mine] if zone else []
    return next(filter(None, said), f"{subject.node}: no interface on br-int has a logical port of VM {subject.vm}")


def _end(subject: Subject, logical: str) -> End:
    return End(f"VM {subject.vm}", subject.address, subject.node, logical)


def _logical(subject: Subject, seen: Readings, port: SwitchPort) -> Station:
    """What OVN says: is the port bound and its flows there, is it switched on, which stage drops."""
    node = subject.node
    trouble = daemon = ""
    if seen.zone is not None:
        trouble, daemon = port_trouble(_end(subject, port.logical), seen.zone), next(iter(daemons(seen.zone)), "")
    # A port without flows is what a dead daemon leaves behind.
    wrong = "; ".join(filter(None, (daemon, trouble))) if trouble else ""
    if not wrong and seen.trace is not None and seen.trace.dropped:
        wrong = dropped(subject, seen.trace, port.logical)
    said = "" if seen.trace is None else f"ofproto/trace: {seen.trace.actions}"
    return Station("OVN", node, "ovn", None, None, "; ".join(filter(None, (port.logical, said, daemon))), wrong)


def dropped(subject: Subject, trace: Trace, logical: str) -> str:
    """Why a trace ends in br-int, in words; empty when it is not OVN that drops."""
    who = f"{subject.vm} on {subject.segment}"
    if trace.bridge not in ("", INTEGRATION):
        return f"{subject.node}: {trace.bridge} drops frames of {who}"
    if trace.enabled is False:
        return f"{subject.node}: the logical port of VM {who} is disabled, OVN drops what it sends ({logical})"
    stage = trace.stage
    if stage is not None and stage.name == "ls_in_apply_port_sec":
        may = ", ".join(trace.security) or "none"
        return (
            f"{subject.node}: OVN's port security drops frames of {who}: it may send from {may}, "
            f"and sends from {subject.mac}"
        )
    if stage is not None and "drop" in stage.action:
        text = str(stage).replace(f'"{logical}"', f"the port of {subject.vm}")
        return f"{subject.node}: OVN drops frames of {who} in {text}"
    return f"{subject.node}: br-int sends frames of {who} nowhere: the network has no port there to leave by"


def _patch(subject: Subject, seen: Readings, after: Looked, bridge: str) -> Station:
    """The bridge's end of the patch port: whether the guest's MAC address was learned on it."""
    switch, node = after.switch, subject.node
    patch = switch.patch(localnet_port(subject.network))
    if patch is None:
        wrong = f"{node} maps {subject.localnet} to {bridge}, and OVN has made no patch port between them"
        return Station(f"patch port on {bridge}", node, "patch", wrong=wrong)
    wrong = ""
    if switch.stp.get(bridge) and patch.stp not in ("forwarding", ""):
        wrong = f"spanning tree on {node} does not forward yet: {patch.name} is {patch.stp}"
    heard = [one for one in after.of(patch) if one.mac == subject.mac and one.age_s <= seen.seconds]
    said = (
        f"{bridge} learned {subject.mac} on it in VLAN {heard[0].vlan} {heard[0].age_s} s ago"
        if heard
        else f"{bridge} did not learn {subject.mac} on it"
    )
    # A bridge whose flows send frames on without the MAC table learns nobody: then only flows behind it can tell.
    there = len(heard) if heard or seen.flows is not None else None
    return Station(f"patch port on {bridge}", node, "bridge" if wrong else "patch", there, None, said, wrong)


def _uplink(subject: Subject, seen: Readings, before: Looked, after: Looked, bridge: str) -> Station:
    """What of the guest goes out over the bridge's uplink and comes back to it, by flows; and who else is heard."""
    ports = uplinks(after.switch, bridge)
    place = f"uplink {', '.join(map(_named, ports)) or 'none'} of {bridge}"
    if not ports:
        wrong = f"{subject.node}: {bridge} has no uplink: no NIC and no bond is a port of it"
        return Station(place, subject.node, "uplink", wrong=wrong)
    there, back = _passed(subject, seen.flows, ports)
    said = _heard(subject, seen.seconds, before, after, ports)
    return Station(place, subject.node, "cable", there, back, said, hint=beside(subject.segment, seen.beside, ports))


def beside(segment: str, others: Mapping[str, bool], ports: tuple[SwitchPort, ...]) -> str:
    """What the other VLANs over the same uplink say of the switch behind it, where this one has no answer."""
    names, lone = ", ".join(map(_named, ports)), all(len(port.interfaces) == 1 for port in ports)
    passed = [name for name, answered in others.items() if answered]
    if passed:
        text = f"over the same uplink {names} {', '.join(passed)} has answers: the switch's trunk there lacks {segment}"
        return text if lone else f"{text}, or one NIC of it is dead"
    if others:
        return (
            f"over {names} {', '.join(others)} has no answer either: the switch's ports there are shut, out of the "
            "aggregate, or take no other MAC address than the NIC's"
        )
    return ""


def _arrived(subject: Subject, far: Far, target_mac: str) -> Iterator[Station]:
    """On the peer's node: whether the guest's frames come in over its uplink, and get to the peer's port."""
    bridge = far.after.switch.mappings.get(subject.localnet, "")
    ports = uplinks(far.after.switch, bridge) if bridge else ()
    nics = {nic for port in ports for nic in port.interfaces}
    came = [f for f in far.flows if f.port in nics and f.source == subject.mac]
    place = f"uplink {', '.join(map(_named, ports)) or 'none'}"
    yield Station(place, far.node, "cable", sum(f.packets + 1 for f in came))
    peer = next((p for p in far.after.switch.on(INTEGRATION) if target_mac and p.mac == target_mac), None)
    if peer is not None:
        passed = [f for f in came if peer.name in f.outputs]
        done = "; ".join(sorted({f"{f.source} to {f.target}: {f.actions}" for f in came}))
        yield Station(f"{peer.name} on br-int", far.node, "ovn", sum(f.packets + 1 for f in passed), None, done)


def uplinks(switch: NodeSwitch, bridge: str) -> tuple[SwitchPort, ...]:
    """The ports by which a bridge leaves the node: NICs and bonds."""
    inner = {"internal", "patch"}
    return tuple(p for p in switch.on(bridge) if not inner & set(p.types) and p.name != bridge)


def _named(port: SwitchPort) -> str:
    return f"{port.name} ({', '.join(port.interfaces)})" if len(port.interfaces) > 1 else port.name


def _passed(
    subject: Subject, flows: tuple[Flow, ...] | None, ports: tuple[SwitchPort, ...]
) -> tuple[int | None, int | None]:
    """Frames of the guest that the datapath sent out by an uplink, and frames for it that came in by one."""
    if flows is None:
        return None, None
    nics = {nic for port in ports for nic in port.interfaces}
    out = [f for f in flows if nics & set(f.outputs) and f.port not in nics]
    back = [f for f in flows if f.port in nics and f.target == subject.mac]
    # The frame that makes a flow is not counted by it.
    return sum(f.packets + 1 for f in out), sum(f.packets + 1 for f in back)


def _heard(subject: Subject, seconds: float, before: Looked, after: Looked, ports: tuple[SwitchPort, ...]) -> str:
    """Who was heard over the uplink meanwhile: the VLAN itself, other VLANs, or nobody."""
    names = ", ".join(map(_named, ports))
    into = sum(after.count(port)[0] - before.count(port)[0] for port in ports)
    learned = [one for port in ports for one in after.of(port) if one.age_s <= seconds]
    mine = [one for one in learned if one.vlan == subject.vlan]
    others = sorted({one.vlan for one in learned if one.vlan != subject.vlan})
    listed = ", ".join(str(vlan) if vlan else "untagged" for vlan in others)
    heard = f"{len(mine)} others of {subject.segment}" if mine else f"nobody of {subject.segment}"
    return f"{into} frames came in over {names}; heard: {heard}" + (f", VLAN {listed}" if listed else "")
