"""Sentences that ask for virtual machines. None waits: all VMs of a scenario boot at once, their first use waits."""

from __future__ import annotations

from pytest_bdd import given

from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN}"))
def vm_on_vlan(scene: Scene, name: str, vlan: int) -> None:
    """One VM, wherever the scheduler puts it."""
    scene.start(name, vlan)


@given(sentence("a VM {name:VM} on VLAN {vlan:VLAN}, which also has an address of VLAN {also:VLAN}"))
def vm_with_foreign_address(scene: Scene, name: str, vlan: int, also: int) -> None:
    """Only the VLAN then stands between it and the other network: no router is needed to try."""
    scene.start(name, vlan, also=also)


@given(sentence("VMs {first:VM} and {second:VM} on VLAN {vlan:VLAN} on different workers"))
def vms_apart(scene: Scene, first: str, second: str, vlan: int) -> None:
    """Two VMs that the scheduler must keep apart."""
    scene.start(first, vlan, spread=scene.namespace)
    scene.start(second, vlan, spread=scene.namespace)
