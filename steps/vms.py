"""Sentences that ask for virtual machines. None waits: all VMs of a scenario boot at once, their first use waits."""

from __future__ import annotations

from pytest_bdd import given

from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN}"))
def vm_on_vlan(scene: Scene, name: str, vlan: int) -> None:
    """One VM, wherever the scheduler puts it."""
    scene.start(name, scene.site.target.vlan(vlan))


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
