"""Sentences on the documented localnet example: its tables, its project, its VM with an address by DHCP."""

from __future__ import annotations

from pytest_bdd import given, then

from lab.diagnosis import cloudinit, leases, tables
from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("the project {name:NET}"))
def project(scene: Scene, name: str) -> None:
    """The scenario's namespace has that name; it must not be there yet."""
    scene.home.rename(name)


@given(
    sentence(
        "a VM {name:VM} on the network {network:NET} through {nad:NET}, with its documented login {user}/{password}"
    )
)
def vm_with_documented_login(scene: Scene, name: str, network: str, nad: str, user: str, password: str) -> None:
    """Its cloud-init data stays as it is, so that the console lets nobody else in."""
    scene.start(name, scene.site.target.network(network), nad=nad, login=(user, password))


@then(sentence("`oc get nncp,nnce` shows the policy {name} as documented"))
def tables_as_documented(scene: Scene, name: str, docstring: str) -> None:
    """Columns and cells, for this lab's workers."""
    tables.policy_as_documented(scene.site, name, docstring)


@then(sentence("{name:VM} has a lease of the network {network:NET}"))
def has_a_lease(scene: Scene, name: str, network: str) -> None:
    """An address in it, seen in the guest."""
    scene.site.target.network(network)
    leases.leased(scene, name)


@then(sentence("{name:VM} kept its lease and its MAC address"))
def kept_lease(scene: Scene, name: str) -> None:
    """The address in the guest, the MAC address as the platform reports it."""
    leases.kept(scene, name)


@then(sentence("{name:VM} is not on the pod network, and its console answers"))
def console_only(scene: Scene, name: str) -> None:
    """So there is no port-forward to it, and no SSH from within the cluster."""
    leases.off_the_pod_network(scene, name)


@then(sentence("these commands print in {name:VM}"))
def commands_print(scene: Scene, name: str, datatable: list[list[str]]) -> None:
    """One line of shell per row with what it prints, under a heading."""
    cloudinit.printed(scene, name, [(row[0], row[1]) for row in datatable[1:]])


@then(sentence("{name:VM} did these parts of its cloud-init data, or an event of it names them"))
def done_or_named(scene: Scene, name: str, datatable: list[list[str]]) -> None:
    """A part per row, with a command that succeeds where it was done, under a heading."""
    cloudinit.done_or_named(scene, name, [(row[0], row[1]) for row in datatable[1:]])
