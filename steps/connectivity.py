"""Sentences on who reaches whom. Each takes one look from inside the guest and judges it."""

from __future__ import annotations

from pytest_bdd import then

from lab.diagnosis import expect
from lab.topology.scene import Scene
from steps.types import sentence


@then(sentence("{name:VM} reaches the gateway of VLAN {vlan:VLAN}"))
def reaches_gateway(scene: Scene, name: str, vlan: int) -> None:
    """Answers come back."""
    expect.reached(scene.site, scene.ping_gateway(name, scene.site.target.vlan(vlan)))


@then(sentence("{name:VM} reaches the gateway of the network {network:NET}"))
def reaches_network(scene: Scene, name: str, network: str) -> None:
    """Answers come back."""
    expect.reached(scene.site, scene.ping_gateway(name, scene.site.target.network(network)))


@then(sentence("{name:VM} gets no answer from the gateway of the network {network:NET}"))
def does_not_reach_network(scene: Scene, name: str, network: str) -> None:
    """Nothing comes back."""
    expect.silent(scene.ping_gateway(name, scene.site.target.network(network)), scene.site)


@then(
    sentence("the VLAN {vlan:VLAN} of its attachment keeps {name:VM} from the network {network:NET}, or it is refused")
)
def tagged_or_refused(scene: Scene, vlan: int, name: str, network: str) -> None:
    """A worker whose bridges cannot filter VLANs must say so; one that can must not let its frames out untagged."""
    seen = scene.fate(name)
    if seen.node:
        expect.kept_from(scene.ping_gateway(name, scene.site.target.network(network)), vlan)
    else:
        expect.refused(scene.site, scene.asked_for(name), seen, ["vlan", str(vlan)])


@then(sentence("{name:VM} gets no answer from the gateway of VLAN {vlan:VLAN}"))
@then(sentence("{name:VM} does not reach the gateway of VLAN {vlan:VLAN}"))
def does_not_reach_gateway(scene: Scene, name: str, vlan: int) -> None:
    """Nothing comes back."""
    expect.silent(scene.ping_gateway(name, scene.site.target.vlan(vlan)), scene.site)


@then(sentence("{name:VM} does not reach {other:VM}"))
def does_not_reach(scene: Scene, name: str, other: str) -> None:
    """Nothing comes back from the other VM's address."""
    expect.silent(scene.ping_guest(name, other), scene.site)


@then(sentence("{name:VM} reaches {other:VM}"))
def reaches(scene: Scene, name: str, other: str) -> None:
    """Answers come back from the other VM's address."""
    expect.reached(scene.site, scene.ping_guest(name, other))


@then(sentence("{first:VM} and {second:VM} reach each other"))
def reach_each_other(scene: Scene, first: str, second: str) -> None:
    """Both ways, from different workers."""
    expect.apart(scene.guest(first), scene.guest(second))
    expect.reached(scene.site, scene.ping_guest(first, second))
    expect.reached(scene.site, scene.ping_guest(second, first))
