"""Single looks between a scenario's places with every kind of probe: which shell, which address, who answers there.

Composition only. Where somebody has to listen, that is started on the outside host for the look and ended after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, LabError, UsageError
from lab.guest.addresses import read_addresses, read_link_locals
from lab.guest.shell import Shell
from lab.probes import services
from lab.probes.announcements import Heard, Listener
from lab.probes.arp import arp
from lab.probes.dns import DnsObservation, dns
from lab.probes.http import http
from lab.probes.mtu import PathMtu, path_mtu
from lab.probes.observation import Observation, retry_inconclusive
from lab.probes.ping import ping
from lab.probes.stream import some_port
from lab.probes.tcp import tcp
from lab.probes.throughput import Throughput, throughput
from lab.probes.udp import udp
from lab.target.inventory import Segment
from lab.topology.flows import Flows
from lab.topology.scene import Check, Scene

LOOK_S = 60.0
MIB = 4


@dataclass(frozen=True)
class Known:
    """What a place's neighbour table says of a host that has `mac`."""

    look: Observation
    mac: str


class Probing:
    """The looks of one scenario; each raises what its probe raises, and returns what it saw."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.flows = Flows(scene)
        self._listeners: dict[str, Listener] = {}

    def place(self, other: str | Segment) -> tuple[str, Shell, str, str]:
        """The other end of a look, a VM or the outside host of a segment: its name for people, a shell there, its
        address, and the worker where it runs ("" for a host beside the cluster)."""
        if isinstance(other, Segment):
            host = self.flows.outside(other)
            return f"outside host {host.name}", self.flows.shell(host.name), other.gateway, ""
        guest = self.scene.guest(other)
        return str(guest), self.flows.shell(other), self.flows.address(other), guest.node

    def ping(self, name: str, other: str | Segment) -> Check:
        """A plain ping of it, beside a look by something else."""
        if isinstance(other, Segment):
            return self.scene.ping_gateway(name, other)
        return self.scene.ping_guest(name, other)

    def connect(self, name: str, other: str, port: int) -> Observation:
        """A TCP connection from a VM to another."""
        return self._tried(lambda d: tcp(self._shell(name), self.flows.address(other), port, deadline=d))

    def datagram(self, name: str, segment: Segment) -> Observation:
        """UDP datagrams from a VM to the gateway of a segment."""
        tools = self.flows.tools(name)
        return self._tried(lambda d: udp(self._shell(name), tools, segment.gateway, deadline=d))

    def web(self, name: str, segment: Segment) -> Observation:
        """An HTTP request from a VM to the outside host of a segment, where a server is started for it."""
        port = some_port()
        with self._served(segment, lambda tools: services.web(tools, port)):
            url, tools = f"http://{segment.gateway}:{port}/", self.flows.tools(name)
            return self._tried(lambda d: http(self._shell(name), tools, url, deadline=d))

    def names(self, name: str, segment: Segment) -> DnsObservation:
        """A DNS question from a VM to the outside host of a segment, where a server is started for it."""
        with self._served(segment, lambda tools: services.names(tools, segment.gateway)):
            tools, deadline = self.flows.tools(name), Deadline.after(LOOK_S)
            ask = (services.NAME, segment.gateway)
            return retry_inconclusive(lambda: dns(self._shell(name), tools, *ask, deadline=deadline), deadline)

    def path_mtu(self, name: str, other: str) -> PathMtu:
        """The largest packet that passes from a VM to another in one piece."""
        tools, deadline = self.flows.tools(name), Deadline.after(LOOK_S)
        return path_mtu(self._shell(name), tools, self.flows.address(other), deadline=deadline)

    def throughput(self, name: str, other: str) -> Throughput:
        """How fast one TCP connection from a VM to another is."""
        tools = self.flows.tools(name), self.flows.tools(other)
        ends = self._shell(name), self._shell(other)
        return throughput(*ends, self.flows.address(other), tools, mib=MIB, deadline=Deadline.after(LOOK_S))

    def ping6(self, name: str, other: str) -> Observation:
        """From a VM to the link-local IPv6 address of another, or of a segment's outside host."""
        return self._ping6(name, self._link_local(self._shell(other), self.scene.guest(other).mac))

    def ping6_gateway(self, name: str, segment: Segment) -> Observation:
        """From a VM to the link-local IPv6 address of a segment's outside host."""
        host = self.flows.outside(segment)
        return self._ping6(name, self._link_local(self.flows.shell(host.name), address=segment.gateway))

    def listen(self, name: str, segment: Segment) -> None:
        """Have the outside host of a segment listen for announcements of a VM from here on."""
        host = self.flows.outside(segment).name
        listener = Listener(self.flows.shell(host), self.flows.tools(host), self.scene.guest(name).mac)
        listener.start(Deadline.after(LOOK_S))
        self._listeners[name] = listener

    def heard(self, name: str) -> Heard:
        """What was heard of a VM since, or since its last move. Raises UsageError when nobody listened."""
        if name not in self._listeners:
            raise UsageError(f"somebody who listened for announcements of {name}", "nobody did")
        heard, left = self._listeners.pop(name).stop(Deadline.after(LOOK_S)), self.scene.guest(name).left
        return heard if left is None else heard.since_move(left)

    def hush(self) -> None:
        """End every listener that nobody asked."""
        for name in list(self._listeners):
            with suppress(LabError):
                self.heard(name)

    def neighbour(self, name: str, other: str) -> Known:
        """Who a VM takes another one for; it pings it first, so that somebody asked."""
        self.scene.ping_guest(name, other)
        return self._known(name, self.flows.address(other), self.scene.guest(other).mac)

    def neighbour6(self, name: str, segment: Segment) -> Known:
        """Who a VM takes the outside host of a segment for, over IPv6."""
        self.ping6_gateway(name, segment)
        shell = self.flows.shell(self.flows.outside(segment).name)
        text = self._links(shell)
        device = _device(text, "", segment.gateway, shell.place)
        return self._known(name, self._link_local(shell, address=segment.gateway), read_addresses(text)[device][0])

    def _known(self, name: str, address: str, mac: str) -> Known:
        return Known(self._tried(lambda d: arp(self._shell(name), address, deadline=d)), mac)

    def _ping6(self, name: str, address: str) -> Observation:
        device = _device(self._links(self._shell(name)), self.scene.guest(name).mac, "", name)
        shell, target = self._shell(name), f"{address}%{device}"

        def look(deadline: Deadline, count: int = 3, interval_s: float = 0.2) -> Observation:
            return ping(shell, target, count=count, interval_s=interval_s, deadline=deadline)

        seen = self._tried(look)
        # A neighbour solicitation that got lost to learning is repeated after a second only, and three times.
        return seen if seen.reached else self._tried(partial(look, count=8, interval_s=0.5))

    def _link_local(self, shell: Shell, mac: str = "", address: str = "") -> str:
        text = self._links(shell)
        device = _device(text, mac, address, shell.place)
        found = read_link_locals(text).get(device)
        if not found:
            raise Inconclusive(
                f"a link-local IPv6 address of {device}", text, shell.place, "is IPv6 switched off there?"
            )
        return found

    def _links(self, shell: Shell) -> str:
        return shell.run(["sh", "-c", "ip -o link; ip -o addr"], deadline=Deadline.after(LOOK_S)).stdout

    def _shell(self, name: str) -> Shell:
        self.scene.guest(name)
        self.scene.settle()
        return self.flows.shell(name)

    @contextmanager
    def _served(self, segment: Segment, made: services.Maker) -> Iterator[None]:
        host = self.flows.outside(segment).name
        with services.served(self.flows.shell(host), made(self.flows.tools(host)), Deadline.after(LOOK_S)):
            yield

    def _tried(self, look: services.Look) -> Observation:
        deadline = Deadline.after(LOOK_S)
        return retry_inconclusive(lambda: look(deadline), deadline)


def _device(text: str, mac: str, address: str, place: str) -> str:
    """The interface with that MAC address, or with that IP address."""
    for device, (own, addresses) in read_addresses(text).items():
        if (mac and own == mac) or (address and address in _bare(addresses)):
            return device
    raise UsageError(f"an interface with {mac or address}", f"there are {', '.join(read_addresses(text))}", place)


def _bare(addresses: Sequence[str]) -> list[str]:
    return [address.partition("/")[0] for address in addresses]
