"""Judging workers as hosts: where their own address is, what they reach, whether they stayed Ready.

What nmstate reports is compared with what the node's kernel says; and neither counts without packets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.access.kinds import NNS
from lab.core.deadline import Deadline
from lab.core.errors import ProductFailure, WaitTimeout
from lab.core.wait import Seen, Signal, wait_until
from lab.nmstate.primary import on_bridge, on_nic
from lab.target.inventory import Segment
from lab.topology import snapshot
from lab.topology.hosts import WorkerHosts

REPORT_S = 20.0
Findings = Callable[[Mapping[str, Any], str], list[str]]


def nic_carries(hosts: WorkerHosts, nic: str) -> None:
    """Raises ProductFailure naming worker and reason unless every worker's address is leased by *nic* itself."""
    _reported(hosts, f"{nic} to carry the address of every worker", lambda state, a: on_nic(state, a, nic))
    _on_link(hosts, nic)


def bridge_carries(hosts: WorkerHosts, bridge: str) -> None:
    """Raises ProductFailure unless every worker's address is leased by *bridge* over its NIC, without spanning tree."""
    nics = hosts.site.target.nics

    def findings(state: Mapping[str, Any], address: str) -> list[str]:
        ports = nics.ports(bridge, "linux-bridge") or (nics.primary,)
        return on_bridge(state, address, bridge, ports[0])

    _reported(hosts, f"{bridge} to carry the address of every worker", findings)
    _on_link(hosts, bridge)


def _reported(hosts: WorkerHosts, wanted: str, findings: Findings) -> None:
    """By NodeNetworkState, which follows the node by a moment."""
    client, addresses, signal = hosts.site.client, hosts.addresses(), Signal()
    with client.watch(NNS, signal=signal) as watch:

        def observe() -> Seen[None]:
            while watch.take(0):
                pass
            states = {str(s["metadata"]["name"]): s for s in watch.items.values()}
            found = []
            for node in hosts.site.workers:
                state = (states.get(node, {}).get("status") or {}).get("currentState") or {}
                found += [f"{node}: {text}" for text in findings(state, addresses.get(node, ""))]
            return Seen("; ".join(found) or "as wanted", not found)

        try:
            wait_until(
                "NodeNetworkState of every worker",
                wanted,
                observe,
                deadline=Deadline.after(REPORT_S),
                changes=signal,
            )
        except WaitTimeout as error:
            raise ProductFailure(wanted, error.last, "NodeNetworkState") from error


def _on_link(hosts: WorkerHosts, link: str) -> None:
    addresses = hosts.addresses()
    wrong = [
        f"{node}: its kernel has {addresses.get(node, 'its address')} on {', '.join(links) or 'no link'}"
        for node, links in hosts.links_of(addresses).items()
        if links != (link,)
    ]
    if wrong:
        raise ProductFailure(f"{link} to carry the address of every worker", "; ".join(wrong), "ip addr on the nodes")


def reach_gateway(hosts: WorkerHosts, segment: Segment) -> None:
    """Raises ProductFailure naming each worker without an answer and what was sent; Inconclusive."""
    wrong = []
    for node, seen in hosts.ping(segment.gateway).items():
        seen.conclusive()
        if not seen.reached:
            counts = f"{seen.statistics.sent} sent, {seen.statistics.received} received" if seen.statistics else ""
            wrong.append(f"{node}: {seen.detail} ({counts})")
    if wrong:
        raise ProductFailure(f"every worker to reach {segment.gateway} on {segment}", "; ".join(wrong))


def reach_api(hosts: WorkerHosts) -> None:
    """Raises ProductFailure naming each worker that cannot connect to an API server; Inconclusive."""
    wrong = []
    for address, port in hosts.api_servers():
        seen = hosts.connect(address, port)
        wrong += [f"{node}: {o.conclusive().detail} from {o.target}" for node, o in seen.items() if not o.reached]
    if wrong:
        raise ProductFailure("every worker to reach the API servers", "; ".join(wrong))


def stayed_ready(hosts: WorkerHosts) -> None:
    """Raises ProductFailure naming each worker that is not Ready, or was not all the time since it was noted."""
    since, before = hosts.ready_since(), hosts.noted.ready
    wrong = [
        f"{node} is not Ready" if not since.get(node) else f"{node} is Ready since {since[node]}, and was since {told}"
        for node, told in before.items()
        if since.get(node, "") != told
    ]
    if wrong or not before:
        raise ProductFailure("every worker to stay Ready", "; ".join(wrong) or "none was noted before")


def ready(hosts: WorkerHosts) -> None:
    """Raises ProductFailure naming each worker that is not Ready."""
    wrong = [node for node, since in hosts.ready_since().items() if not since]
    if wrong:
        raise ProductFailure("every worker to be Ready", f"{', '.join(wrong)} is not")


def as_noted(hosts: WorkerHosts) -> None:
    """Raises ProductFailure with node and path of each difference from the network that was noted."""
    client, before = hosts.site.client, hosts.noted.network
    try:
        snapshot.wait_as_before(client, before)
    except WaitTimeout as error:
        raise ProductFailure("the network of every worker as it was before", error.last, "NodeNetworkState") from error
