"""Sentences on the workers' own network: where their address is, what they reach from there, and whether it stays."""

from __future__ import annotations

import pytest
from pytest_bdd import given, then, when

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, ProductFailure
from lab.diagnosis import workers as judge
from lab.topology.hosts import WorkerHosts
from lab.topology.manifests import Manifests
from lab.topology.scene import Scene
from lab.topology.site import Site
from steps.types import sentence

TAKE_BACK_S = 120.0


@pytest.fixture(scope="module")
def hosts(site: Site, request: pytest.FixtureRequest) -> WorkerHosts:
    """A shell in each worker's own network; made when first used."""
    return WorkerHosts(site, Manifests(request.path.parent / "manifests"))


@given(sentence("the main interface carries the address of every worker"))
def nic_carries_before(hosts: WorkerHosts) -> None:
    """What the scenario starts from, and what is compared with afterwards; a policy of an earlier one is taken back."""
    site = hosts.site
    for name in site.policies.names:
        site.policies.take_back(name, Deadline.after(TAKE_BACK_S))
    try:
        judge.nic_carries(hosts, site.target.nics.primary)
        judge.ready(hosts)
    except ProductFailure as failure:
        raise EnvironmentBroken(failure.wanted, failure.found, failure.where) from failure
    hosts.note()


@given(sentence("the network of every worker is known as it was without any policy"))
def network_known(hosts: WorkerHosts) -> None:
    """From an earlier scenario, if there was one: its policy may still stand."""
    if not hosts.noted.network:
        nic_carries_before(hosts)


@given(sentence("the DHCP server of the network {network:NET} answers nobody"))
def dhcp_is_silent(scene: Scene, network: str) -> None:
    """From now until the scenario's end."""
    scene.faults.set(f"dhcp-silent host={scene.site.target.network(network).outside}")


@when(sentence("the policy {name} is taken back"))
def policy_is_taken_back(scene: Scene, name: str) -> None:
    """By its inverse, and the deletion of it."""
    scene.site.policies.take_back(name, Deadline.after(TAKE_BACK_S))


@then(sentence("{bridge:NET} carries the address of every worker, over the main interface and without spanning tree"))
def bridge_carries(hosts: WorkerHosts, bridge: str) -> None:
    """By what nmstate reports and by the nodes' own kernels."""
    judge.bridge_carries(hosts, bridge)


@then(sentence("the main interface carries the address of every worker"))
def nic_carries(hosts: WorkerHosts) -> None:
    """By what nmstate reports and by the nodes' own kernels."""
    judge.nic_carries(hosts, hosts.site.target.nics.primary)


@then(sentence("every worker reaches the gateway of the network {network:NET}"))
def workers_reach_gateway(hosts: WorkerHosts, network: str) -> None:
    """Answers come back."""
    judge.reach_gateway(hosts, hosts.site.target.network(network))


@then(sentence("every worker reaches the API servers"))
def workers_reach_api(hosts: WorkerHosts) -> None:
    """Connections open."""
    judge.reach_api(hosts)


@then(sentence("every worker stayed Ready"))
def workers_stayed_ready(hosts: WorkerHosts) -> None:
    """Without a moment in between."""
    judge.stayed_ready(hosts)


@then(sentence("every worker is Ready"))
def workers_are_ready(hosts: WorkerHosts) -> None:
    """Now."""
    judge.ready(hosts)


@then(sentence("the network of every worker is as it was before"))
def network_as_before(hosts: WorkerHosts) -> None:
    """All that nmstate reports of it."""
    judge.as_noted(hosts)
