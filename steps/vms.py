"""Sentences on virtual machines. Those that ask for one do not wait: all boot at once, and their first use waits."""

from __future__ import annotations

from pytest_bdd import given, then, when

from lab.diagnosis import expect
from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN}"))
def vm_on_vlan(scene: Scene, name: str, vlan: int) -> None:
    """One VM, wherever the scheduler puts it."""
    scene.start(name, scene.site.target.vlan(vlan))


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN} through {nad:NET}"))
def vm_on_vlan_through(scene: Scene, name: str, vlan: int, nad: str) -> None:
    """One VM, by the attachment that the manifests name so."""
    scene.start(name, scene.site.target.vlan(vlan), nad=nad)


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN} through {nad:NET}, which also has an address of VLAN {also:VLAN}"))
def vm_through_with_foreign_address(scene: Scene, name: str, vlan: int, nad: str, also: int) -> None:
    """Only the VLAN then stands between it and the other network."""
    scene.start(name, scene.site.target.vlan(vlan), nad=nad, also=scene.site.target.vlan(also))


@given(sentence("a VM {name:VM} on the network {network:NET} through {nad:NET}"))
def vm_on_network(scene: Scene, name: str, network: str, nad: str) -> None:
    """One VM on an untagged network, by the attachment that the manifests name so."""
    scene.start(name, scene.site.target.network(network), nad=nad)


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN}, which also has an address of VLAN {also:VLAN}"))
def vm_with_foreign_address(scene: Scene, name: str, vlan: int, also: int) -> None:
    """Only the VLAN then stands between it and the other network: no router is needed to try."""
    scene.start(name, scene.site.target.vlan(vlan), also=scene.site.target.vlan(also))


@given(sentence("VMs {first:VM} and {second:VM} on VLAN {vlan:VLAN} on different workers"))
def vms_apart(scene: Scene, first: str, second: str, vlan: int) -> None:
    """Two VMs that the scheduler must keep apart."""
    for name in (first, second):
        scene.start(name, scene.site.target.vlan(vlan), spread=scene.namespace)


@then(sentence('{name:VM} finds no worker, since "{reason}"'))
def finds_no_worker(scene: Scene, name: str, reason: str) -> None:
    """By the scheduler's own word, which must last."""
    expect.waits(scene.site, scene.asked_for(name), scene.fate(name), reason)


@when(sentence("{name:VM} takes the MAC address {mac:MAC}"))
def takes_mac(scene: Scene, name: str, mac: str) -> None:
    """From inside, as whoever has root in the guest may."""
    scene.change_mac(name, mac)


@when(sentence("{name:VM} takes its own MAC address back"))
def takes_own_mac(scene: Scene, name: str) -> None:
    """The one that the platform knows."""
    scene.change_mac(name)
