"""Sentences on node policies, networks and their uplinks."""

from __future__ import annotations

from pytest_bdd import given, then, when

from lab.diagnosis import expect
from lab.topology.scene import Scene
from steps.types import sentence


@given(sentence("the documented policy {name}"))
@when(sentence("the documented policy {name} is applied"))
def documented_policy(scene: Scene, name: str) -> None:
    """The policy with its bond, Available on every worker; spanning tree is waited for by whoever first sends."""
    scene.policy(name)


@given(sentence("the customer's policy {name}"))
def customers_policy(scene: Scene, name: str) -> None:
    """The policy of a case, Available on every worker."""
    scene.policy(name)


@given(sentence("no worker has a Linux bridge {name:NET}"))
def no_bridge(scene: Scene, name: str) -> None:
    """By what nmstate reports of each."""
    expect.no_bridge(scene.site, name)


@given(sentence("the policy {name} is applied without its bond"))
def policy_without_bond(scene: Scene, name: str) -> None:
    """The policy to the letter of the documentation."""
    scene.policy(f"{name}-without-bond")


@given(sentence("the policy {name} is applied without spanning tree"))
def policy_without_stp(scene: Scene, name: str) -> None:
    """The documented policy but for `stp`: its bridge forwards at once."""
    scene.policy(f"{name}-without-stp")


@given(sentence("VLAN {vlan:VLAN} is out of spanning tree's listening and learning on every worker"))
def vlan_forwards(scene: Scene, vlan: int) -> None:
    """The patch ports forward: what is silent from here on is not silent because of spanning tree."""
    scene.site.target.vlan(vlan)
    scene.site.settle()


@when(sentence("the policy {name} is applied, which need not succeed"))
def policy_is_tried(scene: Scene, name: str) -> None:
    """Whatever comes of it is judged by what follows."""
    scene.attempt(name)


@then(sentence('the policy {name} is Degraded, since "{reason}", and the worker is named'))
def policy_is_degraded(scene: Scene, name: str, reason: str) -> None:
    """By the policy's own conditions and the enactment that failed."""
    expect.degraded(scene.site, name, reason, scene.outcomes[name])


@then(sentence("the policy {name} is Available on every worker"))
def policy_is_available(scene: Scene, name: str) -> None:
    """By the enactments of its present generation, read again."""
    expect.available(scene.site, name)


@then(sentence("the cause is named for every worker: {port} is no uplink"))
def cause_is_no_uplink(scene: Scene, port: str) -> None:
    """From what nmstate itself reports of each worker."""
    expect.no_uplink(scene.site, port)
