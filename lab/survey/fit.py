"""Checks of the target file against the cluster: are the NICs there, the addresses free, hosts and images to be had?

What only a run can tell, since it takes a VLAN on a NIC or a pod to see it, is said to be unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from lab.access.client import Client
from lab.access.kinds import NNS, Obj
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.faults.port import FaultPort
from lab.guest.outside import OutsideShell
from lab.nmstate.nics import Nic, discover
from lab.survey.findings import Finding, bad, good, unknown
from lab.survey.links import State, sort
from lab.survey.links import subnets as subnets_of
from lab.target.inventory import OutsideHost, Segment, Target

OUTSIDE_S = 20.0
CPU_MODEL = "host-model-cpu.node.kubevirt.io/"


def states(client: Client, workers: Sequence[str]) -> dict[str, State]:
    """By worker: what kubernetes-nmstate reports. Raises as Client.list."""
    listed = client.list(NNS) if client.serves(NNS) else []
    every = {str(one["metadata"]["name"]): (one.get("status") or {}).get("currentState") or {} for one in listed}
    return {name: state for name, state in every.items() if name in workers}


def nics(target: Target, workers: Sequence[Obj], reported: Mapping[str, State]) -> Iterator[Finding]:
    """On each worker: the primary NIC carries the node's address, the NICs for bonds and bridges are there and free."""
    wrong = 0
    for node in workers:
        name = str(node["metadata"]["name"])
        if name not in reported:
            yield unknown("NICs", f"{name}: there is no NodeNetworkState of it", "kubectl get nns")
            wrong += 1
            continue
        for finding in _of_node(target, node, reported[name]):
            yield finding
            wrong += 1
    if workers and not wrong:
        roles = target.nics.roles
        what = ", ".join([target.nics.primary, *roles.bonds, *roles.bridges])
        yield good("NICs", f"{what}: there and free on every worker")


def _of_node(target: Target, node: Obj, state: State) -> Iterator[Finding]:
    name = str(node["metadata"]["name"])
    have = {nic.name: nic for nic in discover({"metadata": {"name": name}, "status": {"currentState": state}})}
    primary = target.nics.primary
    listed = (node.get("status") or {}).get("addresses") or []
    address = next((str(a["address"]) for a in listed if a.get("type") == "InternalIP"), "")
    links = sort(name, state, address)
    # A veth that NetworkManager does not manage is not reported; as the port of a bridge it is named all the same.
    if primary not in have and primary not in links.vital:
        yield bad("NICs", f"{name} has no {primary}, but {', '.join(have)}", "correct nics.primary")
    elif links.primary and links.primary != primary:
        said = f"{name} has its address {address} over {links.primary}, not over {primary}"
        yield bad("NICs", said, "correct nics.primary")
    for bond in {*target.nics.roles.bonds, *(b for own in target.nics.nodes.values() for b in own.bonds)}:
        for nic in target.nics.ports(bond, "bond", name):
            yield from _port(name, bond, nic, have)


def _port(node: str, bond: str, name: str, have: Mapping[str, Nic]) -> Iterator[Finding]:
    nic = have.get(name)
    remedy = f"correct nics.bonds.{bond}, or say under nics.nodes.{node} what this node has (virtlab nics)"
    if nic is None:
        yield bad("NICs", f"{node} has no {name} for {bond}, but {', '.join(have)}", remedy)
    elif not nic.up:
        yield bad("NICs", f"{node}: {name} of {bond} is down or has no cable", remedy)
    elif others := [user for user in nic.users if not user.endswith(f" {bond}")]:
        yield bad("NICs", f"{node}: {name} of {bond} is used: {', '.join(others)}", remedy)


def addresses(target: Target, reported: Mapping[str, State]) -> Iterator[Finding]:
    """No pool holds an address that a worker has, and no VLAN is a network of the workers."""
    taken = [(node, subnet) for node, state in reported.items() for subnet in subnets_of(state).values()]
    clash = False
    for segment in target.segments:
        for node, subnet in taken:
            if segment.pool[0] and _within(subnet.address, segment.pool):
                clash = True
                said = f"the pool of {segment} holds {subnet.address}, the address of {subnet.link} on {node}"
                yield bad("addresses", said, "another pool")
            elif segment.vlan and ipaddress.ip_network(segment.subnet).overlaps(ipaddress.ip_network(subnet.subnet)):
                clash = True
                yield bad("addresses", f"{segment} is {segment.subnet}, and {subnet.link} of {node} is in it untagged",
                          "correct id or subnet of the VLAN")  # fmt: skip
                break
    if target.segments and not clash:
        yield good("addresses", f"the pools of {', '.join(map(str, target.segments))} hold none of the workers'")


def _within(address: str, pool: tuple[str, str]) -> bool:
    first, last, own = (ipaddress.ip_address(a) for a in (*pool, address))
    return first.version == own.version and int(first) <= int(own) <= int(last)


def gateways(target: Target) -> Iterator[Finding]:
    """Each gateway, asked from the outside host in its network; without one only a run can tell."""
    for host in target.outside.values():
        yield from _host(host)
    for segment in target.segments:
        host_of = target.outside.get(segment.outside)
        if host_of is None or not host_of.exec:
            remedy = "a run tells; or name an outside host in it"
            yield unknown(str(segment), f"no outside host is in it: gateway {segment.gateway} was not asked", remedy)
        else:
            yield _gateway(segment, host_of)


def _gateway(segment: Segment, host: OutsideHost) -> Finding:
    shell, deadline = OutsideShell(host), Deadline.after(OUTSIDE_S)
    try:
        own = shell.run(["ip", "-o", "address"], deadline=deadline)
        if own.ok and f" {segment.gateway}/" in own.stdout:
            # It would answer itself, whatever its cables do.
            return unknown(str(segment), f"{host.name} is the gateway {segment.gateway} itself", "a run tells")
        done = shell.run(["ping", "-c", "2", "-W", "2", segment.gateway], deadline=deadline)
    except LabError as error:
        return bad(str(segment), f"{host.name}: {error.headline}", f"correct outside.{host.name}")
    if done.ok:
        return good(str(segment), f"gateway {segment.gateway} answers {host.name}")
    last = (done.output.strip().splitlines() or ["no output"])[-1]
    return bad(str(segment), f"gateway {segment.gateway} does not answer {host.name}: {last}",
               "correct gateway, or look at the VLAN on the switch")  # fmt: skip


def _host(host: OutsideHost) -> Iterator[Finding]:
    if not host.exec:
        return
    remedy = f"run it by hand: {' '.join([*host.exec, 'true'])}"
    try:
        done = OutsideShell(host).run(["true"], deadline=Deadline.after(OUTSIDE_S))
    except LabError as error:
        yield bad(f"outside host {host.name}", error.headline, remedy)
        return
    if done.ok:
        yield good(f"outside host {host.name}", "answers")
    else:
        last = (done.output.strip().splitlines() or [f"exit status {done.exit_code}"])[-1]
        yield bad(f"outside host {host.name}", last, remedy)


def faults(target: Target) -> Iterator[Finding]:
    """The command that makes faults can be asked for its list."""
    if not target.faults:
        return
    command = " ".join([*target.faults, "list"])
    try:
        FaultPort(target.faults).list()
    except LabError as error:
        yield bad("faults", error.headline, f"run it by hand: {command}")
    else:
        yield good("faults", f"`{command}` answers")


def images(target: Target, workers: Sequence[Obj]) -> Iterator[Finding]:
    """Whether the workers have them; that they can be pulled is only seen when a pod asks for it."""
    for what, image in {"guest image": target.image().image, "pod image": target.pod_image}.items():
        lack = [str(node["metadata"]["name"]) for node in workers if image not in _images(node)]
        if not lack:
            yield good(what, f"{image} is on every worker")
        else:
            remedy = "a run tells; where the registry is out of reach, a mirror: registry-mirrors"
            yield unknown(what, f"{image} is not on {', '.join(lack)} yet, and must be pulled", remedy)


def _images(node: Obj) -> set[str]:
    listed = (node.get("status") or {}).get("images") or []
    return {str(name) for entry in listed for name in entry.get("names") or ()}


def migratability(workers: Sequence[Obj]) -> Iterator[Finding]:
    """Two workers at least, whose CPUs let a guest with the host's model move between them."""
    if len(workers) < 2:
        yield bad("migration", f"{len(workers)} worker: no guest can move", "a second worker")
        return
    models = {str(node["metadata"]["name"]): _models(node) for node in workers}
    if len({frozenset(found) for found in models.values()}) > 1:
        said = "; ".join(f"{name} {', '.join(sorted(found)) or 'none'}" for name, found in models.items())
        yield bad("migration", f"the workers' CPU models differ: {said}",
                  "a common cpuModel in the KubeVirt object (spec.configuration.cpuModel)")  # fmt: skip
    else:
        known = ", ".join(sorted(next(iter(models.values())))) or "no model is told"
        yield good("migration", f"{len(workers)} workers of one CPU model ({known})")


def _models(node: Obj) -> set[str]:
    labels = node["metadata"].get("labels") or {}
    return {key.removeprefix(CPU_MODEL) for key in labels if key.startswith(CPU_MODEL)}
