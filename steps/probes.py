"""Sentences on single looks by other probes than a plain ping. Each takes one look and judges it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_bdd import given, then

from lab.diagnosis import probed
from lab.topology.probing import Probing
from lab.topology.scene import Scene
from steps.types import sentence


@pytest.fixture
def probing(scene: Scene) -> Iterator[Probing]:
    """The looks of a scenario; what its places have to look with is found out once."""
    made = Probing(scene)
    yield made
    made.hush()


@given(sentence("the outside host of VLAN {vlan:VLAN} listens for announcements of {name:VM}"))
def listens(scene: Scene, probing: Probing, vlan: int, name: str) -> None:
    """From here on, by packets."""
    probing.listen(name, scene.site.target.vlan(vlan))


@then(sentence("the fabric learned by an announcement where {name:VM} is"))
def learned(probing: Probing, name: str) -> None:
    """RARP or gratuitous ARP of it was heard since."""
    probed.announced(probing.heard(name), probing.scene.guest(name))


@then(sentence("{name:VM} connects to TCP port {port:d} of {other:VM}"))
def connects(probing: Probing, name: str, port: int, other: str) -> None:
    """A connection comes about."""
    probed.reached(probing.connect(name, other, port))


@then(sentence("{name:VM} gets an answer over UDP from the gateway of VLAN {vlan:VLAN}"))
def datagram(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """It says that the port is closed."""
    probed.reached(probing.datagram(name, scene.site.target.vlan(vlan)))


@then(sentence("{name:VM} gets an answer over HTTP from the outside host of VLAN {vlan:VLAN}"))
def web(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """From a server that is started there for it."""
    probed.reached(probing.web(name, scene.site.target.vlan(vlan)))


@then(sentence("{name:VM} gets an answer over DNS from the outside host of VLAN {vlan:VLAN}"))
def names(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """From a dnsmasq that is started there for it."""
    probed.named(probing.names(name, scene.site.target.vlan(vlan)))


@then(sentence("packets of {size:d} bytes pass from {name:VM} to {other:VM} in one piece"))
def passes(probing: Probing, size: int, name: str, other: str) -> None:
    """The path MTU, by don't-fragment."""
    probed.passes(probing.path_mtu(name, other), size, probing.scene, name)


@then(sentence("{name:VM} sends more than {mbit:d} Mbit/s to {other:VM} over TCP"))
def faster(probing: Probing, name: str, mbit: int, other: str) -> None:
    """Over one connection."""
    probed.faster(probing.throughput(name, other), mbit)


@then(sentence("{name:VM} reaches {other:VM} over IPv6"))
def reaches6(probing: Probing, name: str, other: str) -> None:
    """By link-local addresses."""
    probed.reached(probing.ping6(name, other))


@then(sentence("{name:VM} reaches the outside host of VLAN {vlan:VLAN} over IPv6"))
def gateway6(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """By link-local addresses."""
    probed.reached(probing.ping6_gateway(name, scene.site.target.vlan(vlan)))


@then(sentence("{name:VM} knows {other:VM} by its own MAC address"))
def knows(probing: Probing, name: str, other: str) -> None:
    """As ARP has it."""
    probed.known(probing.neighbour(name, other))


@then(sentence("{name:VM} knows the outside host of VLAN {vlan:VLAN} by its own MAC address over IPv6"))
def knows6(scene: Scene, probing: Probing, name: str, vlan: int) -> None:
    """As neighbour discovery has it."""
    probed.known(probing.neighbour6(name, scene.site.target.vlan(vlan)))
