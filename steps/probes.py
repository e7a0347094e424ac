"""Sentences on single looks by other probes than a plain ping. Each takes one look and judges it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pytest_bdd import given, then

from lab.diagnosis import probed
from lab.diagnosis.byproto import Other
from lab.diagnosis.guestside import PINGED, Packets, by_dns, by_ping6, by_tcp, by_udp
from lab.target.inventory import Segment
from lab.topology.probing import Probing
from lab.topology.scene import Scene
from steps.types import sentence


@pytest.fixture
def probing(scene: Scene) -> Iterator[Probing]:
    """The looks of a scenario; what its places have to look with is found out once."""
    made = Probing(scene)
    yield made
    made.hush()


def beside(probing: Probing, name: str, to: str | Segment, sent: Packets, address: str = "") -> Other:
    """The other end of a look of a VM, for whoever is to say why it got no answer."""
    who, shell, known, node = probing.place(to)
    return Other(who, shell, lambda: probing.ping(name, to), sent, address or known, node)


@given(sentence("the outside host of VLAN {vlan:VLAN} listens for announcements of {name:VM}"))
def listens(scene: Scene, probing: Probing, vlan: int, name: str) -> None:
    """From here on, by packets."""
    probing.listen(name, scene.site.target.vlan(vlan))


@then(sentence("the fabric learned by an announcement where {name:VM} is"))
def learned(probing: Probing, name: str) -> None:
    """RARP or gratuitous ARP of it was heard since."""
    probed.announced(probing.heard(name), probing.scene.guest(name))


@then(sentence("{name:VM} connects to TCP port {port:d} of {other:VM}"))
def connects(scene: Scene, probing: Probing, name: str, port: int, other: str) -> None:
    """A connection comes about."""
    seen = probing.connect(name, other, port)
    probed.reached(scene.site, seen, beside(probing, name, other, by_tcp(probing.flows.address(other), port)))


@then(sentence("{name:VM} gets an answer over UDP from the gateway of VLAN {vlan:VLAN}"))
def datagram(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """It says that the port is closed."""
    segment = scene.site.target.vlan(vlan)
    seen = probing.datagram(name, segment)
    probed.reached(scene.site, seen, beside(probing, name, segment, by_udp(probing.flows.tools(name), segment.gateway)))


@then(sentence("{name:VM} gets an answer over HTTP from the outside host of VLAN {vlan:VLAN}"))
def web(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """From a server that is started there for it."""
    segment = scene.site.target.vlan(vlan)
    seen = probing.web(name, segment)
    port = urlsplit(seen.target).port or 0
    probed.served(scene.site, seen, beside(probing, name, segment, by_tcp(segment.gateway, port)))


@then(sentence("{name:VM} gets an answer over DNS from the outside host of VLAN {vlan:VLAN}"))
def names(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """From a dnsmasq that is started there for it."""
    segment = scene.site.target.vlan(vlan)
    seen = probing.names(name, segment)
    probed.named(scene.site, seen, beside(probing, name, segment, by_dns(segment.gateway)))


@then(sentence("packets of {size:d} bytes pass from {name:VM} to {other:VM} in one piece"))
def passes(probing: Probing, size: int, name: str, other: str) -> None:
    """The path MTU, by don't-fragment."""
    probed.passes(probing.path_mtu(name, other), size, probing.scene, name)


@then(sentence("{name:VM} sends more than {mbit:d} Mbit/s to {other:VM} over TCP"))
def faster(probing: Probing, name: str, mbit: int, other: str) -> None:
    """Over one connection."""
    probed.faster(probing.throughput(name, other), mbit, probing.scene, name)


@then(sentence("{name:VM} reaches {other:VM} over IPv6"))
def reaches6(scene: Scene, probing: Probing, name: str, other: str) -> None:
    """By link-local addresses."""
    seen = probing.ping6(name, other)
    probed.reached(scene.site, seen, over_ipv6(probing, name, other, seen.target))


@then(sentence("{name:VM} reaches the outside host of VLAN {vlan:VLAN} over IPv6"))
def gateway6(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """By link-local addresses."""
    segment = scene.site.target.vlan(vlan)
    seen = probing.ping6_gateway(name, segment)
    probed.reached(scene.site, seen, over_ipv6(probing, name, segment, seen.target))


@then(sentence("{name:VM} knows {other:VM} by its own MAC address"))
def knows(scene: Scene, probing: Probing, name: str, other: str) -> None:
    """As ARP has it."""
    probed.known(scene.site, probing.neighbour(name, other), beside(probing, name, other, PINGED))


@then(sentence("{name:VM} knows the outside host of VLAN {vlan:VLAN} by its own MAC address over IPv6"))
def knows6(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """As neighbour discovery has it."""
    segment = scene.site.target.vlan(vlan)
    seen = probing.neighbour6(name, segment)
    probed.known(scene.site, seen, over_ipv6(probing, name, segment, seen.look.target))


def over_ipv6(probing: Probing, name: str, to: str | Segment, target: str) -> Other:
    """As `beside`; *target* is a link-local address, with the NIC behind it or without."""
    return beside(probing, name, to, by_ping6(target), target.partition("%")[0])
