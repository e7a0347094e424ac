"""Sentences on virtual machines on the pod network, and on the zones that route to them."""

from __future__ import annotations

from pytest_bdd import given, then, when

from lab.diagnosis import zones
from lab.topology import podvm
from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("a pod on every worker"))
def pod_on_every_worker(scene: Scene) -> None:
    """On the pod network: a client in every OVN zone. Not waited for."""
    scene.site.pods.ensure(scene.manifests["pod"])


@given(sentence("a VM {name:VM} on the pod network"))
def vm_on_pod_network(scene: Scene, name: str) -> None:
    """One VM, wherever the scheduler puts it."""
    podvm.start(scene, name)


@when(sentence("{name:VM} migrates back to the worker it was on before"))
def migrates_back_one(scene: Scene, name: str) -> None:
    """To its last worker but one."""
    scene.migrate(name, scene.guest(name).visited[-2])


@then(sentence("{name:VM} reaches the outside host {host:NET}"))
def reaches_outside(scene: Scene, name: str, host: str) -> None:
    """Answers come back, through its node's gateway router."""
    zones.reached(scene.site, podvm.ping_outside(scene, name, host))


@then(sentence("{name:VM} reaches a pod in every zone"))
def reaches_pods(scene: Scene, name: str) -> None:
    """Answers come back from each."""
    for check in podvm.ping_pods(scene, name):
        zones.reached(scene.site, check)


@then(sentence("{name:VM} is reached from every zone"))
def reached_from_every_zone(scene: Scene, name: str) -> None:
    """By 16 connections from a pod on each worker, every one from another source port."""
    seen = podvm.connect(scene, name)
    zones.connected(scene.site, scene.guest(name), seen)


@then(sentence("every OVN zone routes {name:VM} to its node"))
def every_zone_routes(scene: Scene, name: str) -> None:
    """By the routing tables that the zones have now."""
    zones.routed(scene.site, scene.guest(name))


@then(sentence("{name:VM} has been on {count:d} workers and kept its pod address"))
def kept_its_address(scene: Scene, name: str, count: int) -> None:
    """As the platform reports it now."""
    zones.kept(scene.guest(name), scene.state(name), count)


@then(sentence('{name:VM} is not migratable, since it "{reason}"'))
def not_migratable(scene: Scene, name: str, reason: str) -> None:
    """By the VMI's own condition."""
    zones.immovable(scene.guests[name], podvm.migratable(scene, name), reason)


@then(sentence('a migration of {name:VM} is refused, since it "{reason}"'))
def migration_refused(scene: Scene, name: str, reason: str) -> None:
    """By the API, when it is asked for one."""
    zones.refused(scene.guests[name], podvm.refusal(scene, name), reason)
