"""Judging a VM on the pod network by packets from every zone; the cause is in the zones' routes, or on the path.

A failure names the VM, its address, what was sent and seen from each zone, and in its first line where packets are
lost: the zones that route wrongly, with their very rows and the commands that would help (nobody here runs those), or
the place on the path that loses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lab.core import facts
from lab.core.deadline import Deadline
from lab.core.errors import LabError, ProductFailure
from lab.diagnosis import ends, podpath
from lab.diagnosis.expect import sentence
from lab.diagnosis.podpath import End
from lab.diagnosis.routes import WrongRoutes, every_zone_routes
from lab.diagnosis.stations import Walk
from lab.diagnosis.walk import Way, tell, walk
from lab.kubevirt.interfaces import VmiState
from lab.probes.connections import ConnectionsObservation
from lab.probes.ping import ping
from lab.topology.podnet import POD_NETWORK, launcher
from lab.topology.pods import PodShell, Resident
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

AUDIT_S = 60.0
PINGS, SEND_S = 4, 20.0


def routed(site: Site, guest: GuestVm, *, patience_s: float | None = None) -> None:
    """Raises ProductFailure naming zones, rows and remedies unless every zone routes the VM to its node."""
    more = {} if patience_s is None else {"patience_s": patience_s}
    every_zone_routes(
        site.client, site.target.platform.ovn, guest.namespace, guest.name, deadline=Deadline.after(AUDIT_S), **more
    )


def connected(site: Site, guest: GuestVm, seen: Mapping[str, ConnectionsObservation]) -> None:
    """Raises ProductFailure with the dead flows of each zone, and what the zones' routes say to it; Inconclusive."""
    if any(look.dead for look in seen.values()):
        worst = max(seen, key=lambda node: len(seen[node].dead))
        pod = next(pod for pod in site.pods.all() if pod.node == worst)
        passed = {worst, guest.node}
        raise unanswered(guest, seen, *_explained(site, guest, passed, lambda: _from_pod(site, pod, guest)))
    for look in seen.values():
        look.conclusive()


def unanswered(guest: GuestVm, seen: Mapping[str, ConnectionsObservation], cause: str, advice: str) -> ProductFailure:
    """The failure of a VM that did not answer every connection; pure."""
    counts = [f"{len(look.alive)} of {look.total} from {node}" for node, look in seen.items()]
    ports = [
        f"dead from {node}: source port {', '.join(map(str, look.dead))}" for node, look in seen.items() if look.dead
    ]
    return ProductFailure(
        f"{guest} ({guest.address}) to answer every connection from every zone",
        "\n".join([f"it answered {', '.join(counts)}; {cause}", *ports]),
        next(iter(seen.values())).target,
        advice,
    )


def reached(site: Site, check: Check) -> None:
    """Raises ProductFailure naming VM, worker, what was sent and seen, and what the zones' routes say to it."""
    check.seen.conclusive()
    if check.seen.reached and check.seen.statistics and check.seen.statistics.loss_percent == 0:
        return
    passed = {check.guest.node, *(pod.node for pod in site.pods.made if pod.address == check.seen.target)}
    cause, advice = _explained(site, check.guest, passed, lambda: _from_guest(site, check))
    raise ProductFailure(
        f"{check.guest} to reach {check.what}", f"{sentence(check)}; {cause}", str(check.seen.evidence or ""), advice
    )


def _explained(site: Site, guest: GuestVm, passed: set[str], walk: Callable[[], str]) -> tuple[str, str]:
    """(where its packets are lost, commands to copy): in wrong routes of a zone that they pass, else where *walk*
    finds it."""
    judged = "the routes of every zone are right"
    try:
        routed(site, guest, patience_s=0.0)
    except WrongRoutes as wrong:
        if wrong.zones & passed:
            return wrong.found, wrong.advice
        judged = f"they do not pass a zone whose routes are wrong ({wrong.first})"
    except LabError as error:
        judged = f"the zones' routes could not be judged ({error.headline})"
    try:
        return f"{walk()}; {judged}", ""
    except LabError as error:
        return f"{judged}; the path could not be walked ({error.headline})", ""


def _from_pod(site: Site, pod: Resident, guest: GuestVm) -> str:
    """Where packets from a zone's pod to the VM are lost: between the zones, else between OVN and the guest."""

    def send() -> None:
        ping(PodShell(site.client, pod), guest.address, count=PINGS, interval_s=0.2, deadline=Deadline.after(SEND_S))

    way = Way(guest, f"pod {pod.pod}", pod.address, POD_NETWORK, (guest.node, pod.node))
    found, told = podpath.explain(site.reader, _pod(pod), _vm(site, guest), send)
    if not getattr(found, "part", ""):
        found = walk(site, way).found or found
    tell(way, told, found)
    return _told(way, found)


def _from_guest(site: Site, check: Check) -> str:
    """Where packets from the VM to what it was to reach are lost: between the guest and OVN, else between the zones."""
    guest, address, way = check.guest, check.seen.target, Way.of(check)
    there = next((_pod(pod) for pod in site.pods.made if pod.address == address), End(check.what, address))
    walked: list[Walk] = []
    found, told = podpath.explain(site.reader, _vm(site, guest), there, lambda: walked.append(walk(site, way)))
    tell(way, told, found)
    if any(nearest.answered for nearest in walked):
        return f"what was sent while its path was walked was answered: the loss is over by now; {found}"
    return _told(way, nearest(found, walked, lambda: ends.of_route(guest, ends.look(guest.shell), address)))


def nearest(found: str, walked: Sequence[Walk], route: Callable[[], str | None]) -> str:
    """Of what the zones, the walk and the guest's *route* say, the place nearest to the guest; pure.

    A port that OVN does not serve leaves the gateway without an answer to ARP, too: the path comes before the route.
    """
    place = next((walk.found for walk in walked if walk.lost >= 0), found)
    return place if getattr(place, "part", "") else route() or found


def _told(way: Way, found: str) -> str:
    """The same, told to the record as the cause where it has a place."""
    node, part = getattr(found, "node", ""), getattr(found, "part", "")
    if part:
        facts.tell(way.segment.name, facts.Cause(found, way.segment.name, "", way.nodes, node, part))
    return found


def _pod(pod: Resident) -> End:
    return End(f"pod {pod.pod}", pod.address, pod.node, podpath.port_name(pod.namespace, pod.pod))


def _vm(site: Site, guest: GuestVm) -> End:
    pod = launcher(site.client, guest.namespace, guest.name).pod
    return End(f"VM {guest.name}", guest.address, guest.node, podpath.port_name(guest.namespace, pod))


def kept(guest: GuestVm, state: VmiState, count: int) -> None:
    """Raises ProductFailure when a VM was on another number of workers, or is reported with another address."""
    if len(set(guest.visited)) != count:
        raise ProductFailure(f"{guest.name} on {count} workers in turn", " -> ".join(guest.visited))
    reported = [address for interface in state.interfaces for address in interface.addresses]
    if guest.address not in reported:
        raise ProductFailure(
            f"{guest.name} reported with its pod address {guest.address}", ", ".join(reported) or "none"
        )


def immovable(guest: GuestVm, migratable: tuple[bool, str], reason: str) -> None:
    """Raises ProductFailure unless the platform says that a VM cannot be migrated, for *reason*."""
    movable, said = migratable
    if movable or reason not in said:
        raise ProductFailure(f"{guest.name} not migratable, since it {reason}", said)


def refused(guest: GuestVm, said: str, reason: str) -> None:
    """Raises ProductFailure unless the API refused a VM's migration, for *reason*."""
    if reason not in said:
        raise ProductFailure(f"a migration of {guest.name} refused, since it {reason}", said or "it was taken")
