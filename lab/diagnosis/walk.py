"""Walking the path of a VM from its NIC on: look, send some packets, look again; who lost them, with what was read.

Everything is read at once and within one budget, by commands that are there on any cluster: in the guest, in the VM's
launcher pod, in OVN-Kubernetes' pod on the node. What cannot be read is said, and the walk goes on with the rest. It
changes nothing and raises nothing of what it meets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lab.access.kinds import VMI
from lab.core import facts, trace
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, LabError
from lab.core.result import CommandResult
from lab.diagnosis.guestside import PINGED, Asked, Packets, asking, read_asked, read_devices, tap_and_cable
from lab.diagnosis.localpath import Counts, Far, Readings, Subject, stations
from lab.diagnosis.stations import Walk, judged
from lab.kubevirt.interfaces import read_vmi
from lab.multus import bridgeports
from lab.multus.attachment import Attachment
from lab.multus.bridgeports import LinuxBridge, read_bridge
from lab.ovn import frames, zonestate
from lab.ovn.frames import Looked
from lab.probes.ping import ping
from lab.target.segments import Segment
from lab.topology.podnet import POD_NETWORK, launcher
from lab.topology.pods import PodShell, Resident
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

BUDGET_S = 8.0
COMPUTE = "compute"
"""The container of a launcher pod that has QEMU, and so the pod's network (KubeVirt pkg/virt-controller/services)."""
DEVICES = ("cat", "/proc/net/dev")
T = TypeVar("T")


@dataclass
class Walker:
    """One walk: the node where the VM runs, and the one where its peer does, if that is another."""

    site: Site
    subject: Subject
    tap_network: str
    deadline: Deadline
    other: str = ""
    beside: Sequence[tuple[Segment, Resident]] = ()
    """Residents of the node in other VLANs over the same bridge."""
    sent: Packets = PINGED
    unread: list[str] = field(default_factory=list)

    def tried(self, what: str, read: Callable[[], T]) -> T | None:
        """What *read* returns; None, and a note, when it cannot be had."""
        try:
            return read()
        except LabError as error:
            self.unread.append(f"{what}: {error.headline}")
        except ValueError as error:
            self.unread.append(f"{what}: {error}")
        return None

    def look(self, node: str) -> Looked | None:
        """A node's switch, now."""
        return self.tried(f"Open vSwitch of {node}", lambda: frames.read_look(node, self._on(node, frames.LOOK)))

    def devices(self) -> Counts | None:
        """The counters of everything in the launcher pod."""
        pod, space = self.subject.pod, self.subject.namespace

        def read() -> Counts:
            said = self.site.client.exec(pod, space, COMPUTE, DEVICES, deadline=self.deadline)
            return read_devices(_whole(said, f"counters in pod {space}/{pod}"))

        return self.tried(f"pod {space}/{pod}", read)

    def flows(self, node: str, known: tuple[frames.Flow, ...] = ()) -> tuple[frames.Flow, ...] | None:
        """The flows of the VM's frames on a node, while they pass; less what was *known* before."""
        argv, arp = frames.sample(self.subject.mac), self.sent == PINGED

        def read() -> tuple[frames.Flow, ...]:
            return frames.since(known, frames.read_flows(self._on(node, argv), arp=arp))

        return self.tried(f"flows on {node}", read)

    def _known(self, pool: Executor) -> dict[str, tuple[frames.Flow, ...]]:
        """The flows that pings have left on the nodes, where something else is to be sent."""
        if self.sent == PINGED:
            return {}
        asked = {node: pool.submit(self.flows, node) for node in (self.subject.node, self.other) if node}
        return {node: one.result() or () for node, one in asked.items()}

    def traced(self, looked: Looked, to: str) -> frames.Trace | None:
        """What br-int says it does with such a packet of the VM."""
        subject, port, packet = self.subject, self.subject.port(looked.switch), self.sent.frame
        if port is None or not port.numbers or not subject.localnet or not packet:
            return None
        frame = frames.echo(port.numbers[0], (subject.mac, subject.address), (to, subject.target), packet)
        argv = frames.trace(frame, port.logical)
        return self.tried(f"ofproto/trace on {subject.node}", lambda: frames.read_trace(self._on(subject.node, argv)))

    def zone(self) -> zonestate.ZoneState | None:
        """OVN's zone of the node."""
        node = self.subject.node
        return self.tried(f"zone of {node}", lambda: zonestate.read_zone(node, self._on(node, zonestate.ARGV)))

    def _on(self, node: str, argv: tuple[str, ...]) -> str:
        return _whole(self.site.reader.run(node, argv, deadline=self.deadline), f"readings of {node}")

    def bridge(self) -> LinuxBridge | None:
        """The Linux bridge that the VM is plugged into, now."""
        node, name = self.subject.node, self.subject.bridge
        return self.tried(f"{name} on {node}", lambda: read_bridge(name, self._on(node, bridgeports.look(name))))

    def readings(self, ask: Callable[[], Asked]) -> Readings:
        """All of it: before, while packets are sent, after."""
        with ThreadPoolExecutor(12, "walk") as pool:
            outside = self._bridged if self.subject.bridge else self._switched
            first = pool.submit(self.devices)
            asked, seen = outside(pool, ask)
            before, after = first.result(), self.devices()
            tap, cable = tap_and_cable(after or {}, self.tap_network)
            return replace(
                seen,
                guest=asked.counts if asked else None,
                nic=asked.nic if asked else "",
                received=asked.received if asked else None,
                pod=(before, after) if before and after else None,
                tap=tap,
                cable=cable,
                unread=tuple(dict.fromkeys(self.unread)),
            )

    def _asked(self, ask: Callable[[], Asked]) -> Asked | None:
        return self.tried(f"guest {self.subject.vm}", ask)

    def _bridged(self, pool: Executor, ask: Callable[[], Asked]) -> tuple[Asked | None, Readings]:
        before = self.bridge()
        asked = self._asked(ask)
        after = self.bridge()
        return asked, Readings(bridges=(before, after) if before and after else None)

    def _switched(self, pool: Executor, ask: Callable[[], Asked]) -> tuple[Asked | None, Readings]:
        here, known = self.subject.node, self._known(pool)
        before = self.look(here)
        began = time.monotonic()
        flows, zone = pool.submit(self.flows, here, known.get(here, ())), pool.submit(self.zone)
        there = pool.submit(self.flows, self.other, known.get(self.other, ())) if self.other else None
        others = [(segment.name, pool.submit(self._answers, segment, pod)) for segment, pod in self.beside]
        asked = self._asked(ask)
        last, far = pool.submit(self.look, here), pool.submit(self._far, there)
        to = asked.target_mac if asked else ""
        traced = pool.submit(self.traced, before, to) if before else None
        after = last.result()
        return asked, Readings(
            before=before,
            after=after,
            flows=flows.result(),
            trace=traced.result() if traced else None,
            zone=zone.result(),
            beside={name: bool(one.result()) for name, one in others if one.result() is not None},
            target_mac=to,
            far=far.result(),
            seconds=time.monotonic() - began,
        )

    def _answers(self, segment: Segment, pod: Resident) -> bool | None:
        """Whether a resident has an answer from the gateway of its own VLAN; None when that proves nothing."""
        shell = PodShell(self.site.client, pod)
        seen = self.tried(
            f"the resident of {segment} on {pod.node}",
            lambda: ping(shell, segment.gateway, count=2, interval_s=0.3, deadline=self.deadline),
        )
        return None if seen is None or seen.inconclusive else seen.reached

    def _far(self, flows: Future[tuple[frames.Flow, ...] | None] | None) -> Far | None:
        after = self.look(self.other) if flows is not None else None
        found = flows.result() if flows is not None else None
        return Far(self.other, after, found) if after is not None and found is not None else None


def _whole(said: CommandResult, wanted: str) -> str:
    if not said.ok:
        raise CommandFailed(said, wanted=wanted)
    return said.stdout


@dataclass(frozen=True)
class Way:
    """Where a walk leads: from a VM to an address, in words, on a segment, over workers (the VM's own first); and what
    is sent on it."""

    guest: GuestVm
    what: str
    address: str
    segment: Segment
    nodes: tuple[str, ...]
    sent: Packets = PINGED

    @staticmethod
    def of(check: Check, sent: Packets = PINGED) -> Way:
        """That of a check."""
        what = check.what if sent == PINGED else f"{check.what}, {sent}"
        return Way(check.guest, what, check.seen.target, check.segment, check.nodes, sent)


def walk(site: Site, way: Way) -> Walk:
    """The walk of a way that got no answer, told to the record; without stations where there is no way to walk.

    On a localnet from the guest to the uplink, on the pod network from the guest to OVN, else to the Linux bridge.
    """
    network, name = site.residents.networks.get(way.segment.name), way.guest.name
    nowhere = Walk(f"VM {name} on {way.segment}", way.what)
    if network is None and way.segment != POD_NETWORK:
        return nowhere
    with trace.span("probe", name, f"walk to {way.address}", limit=BUDGET_S):
        try:
            found = _walked(site, way, network)
        except LabError as error:
            return replace(nowhere, unread=(error.headline,))
    tell(way, found.lines(), found.found)
    return found


def tell(way: Way, lines: Sequence[str], found: str) -> None:
    """Hand a walk to the record."""
    place = getattr(found, "node", ""), getattr(found, "part", "")
    facts.tell(way.segment.name, facts.Path(way.guest.name, way.address, way.segment.name, tuple(lines), *place))


def _beside(site: Site, way: Way, network: Attachment | None) -> list[tuple[Segment, Resident]]:
    """Residents of the VM's node in other networks that leave by the same bridge."""
    mapped, residents = site.policies.mapped(), site.residents
    bridge = mapped.get(network.localnet, "") if network and not network.bridge else ""
    return [
        (segment, pod)
        for segment in site.target.segments
        if bridge and segment.gateway and segment.name != way.segment.name and segment.name in residents.networks
        if mapped.get(residents.networks[segment.name].localnet) == bridge
        for pod in residents.of.get(segment.name, ())
        if pod.node == way.guest.node
    ]


def _walked(site: Site, way: Way, network: Attachment | None) -> Walk:
    guest, asked = way.guest, way.address
    deadline = Deadline.after(BUDGET_S if way.sent == PINGED else 2 * BUDGET_S)
    state = read_vmi(site.client.get(VMI, guest.name, guest.namespace))
    mac = guest.worn or state.mac()
    subject = Subject(
        vm=guest.name,
        mac=mac,
        address=guest.address,
        namespace=guest.namespace,
        pod=launcher(site.client, guest.namespace, guest.name).pod,
        node=guest.node,
        segment=way.segment.name,
        vlan=network.vlan if network else 0,
        localnet=network.localnet if network and not network.bridge else "",
        network=network.network if network else "",
        target=asked,
        own=guest.mac,
        bridge=network.bridge if network else "",
        nics=site.target.nics.ports(network.bridge, "linux-bridge", guest.node) if network and network.bridge else (),
    )
    name = next((i.name for i in state.interfaces if i.mac == guest.mac), "?") if network else ""
    other = next((node for node in way.nodes if node != guest.node), "") if subject.localnet else ""
    walker = Walker(site, subject, name, deadline, other, _beside(site, way, network), way.sent)

    def ask() -> Asked:
        if guest.shell is None:
            raise ValueError("nobody is logged in there")
        return read_asked(guest.shell.run(asking(asked, way.sent), deadline=deadline).stdout, mac, asked)

    seen = walker.readings(ask)
    who = f"VM {guest.name} on {way.segment}"
    return judged(Walk(who, way.what, stations(subject, seen), seen.unread, received=seen.received))
