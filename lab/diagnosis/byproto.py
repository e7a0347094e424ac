"""Why a host that answers pings gives no answer to something else (TCP, UDP, IPv6), or somebody else answers for it.

Asked first is a ping of the same host: one that gets no answer is explained as any (:mod:`lab.diagnosis.expect`). Then
the same packets are sent once more along the walk, and the host's own packet filter is read. Judging is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis import expect
from lab.diagnosis.cause import Said
from lab.diagnosis.gather import scope_of, tell_cause
from lab.diagnosis.guestside import Packets
from lab.diagnosis.stations import Walk, own_end
from lab.diagnosis.walk import Way, walk
from lab.guest.shell import Shell
from lab.probes import packetfilter
from lab.probes.arp import arp
from lab.probes.packetfilter import Rule
from lab.topology.scene import Check
from lab.topology.site import Site

READ_S = 15.0


@dataclass(frozen=True)
class Other:
    """The other end of a look: its name for people, a shell there, a ping of it, and what the look sends it.

    ``node`` is the worker where it runs; empty for a host beside the cluster. ``address`` is that of the look.
    """

    name: str
    shell: Shell
    ping: Callable[[], Check]
    sent: Packets
    address: str
    node: str = ""

    @property
    def part(self) -> str:
        return "vm" if self.node else "gateway"


def silent(site: Site, other: Other) -> str:
    """Why it gives no answer, told to the record. Raises ProductFailure, with its cause, where no ping passes."""
    check = other.ping()
    expect.reached(site, check)
    unasked = _unasked(check, other)
    with ThreadPoolExecutor(1, "walk") as pool:
        walked = pool.submit(copy_context().run, walk, site, Way.of(check, other.sent))
        rules = _rules(other)
    return _told(site, check, judge(check.guest.name, other, walked.result(), rules, unasked))


def elsewhere(site: Site, other: Other, said: str) -> str:
    """That somebody else has answered *said*, with the rule of the host that leads there, told to the record."""
    rules = [rule for rule in _rules(other) if rule.does == packetfilter.DOES["redirect"]]
    why = f": its packet filter leads it away ({rules[0]})" if rules else ""
    check = other.ping()
    found = f"what {check.guest.name} asks {other.name} by {other.sent} is answered by somebody else ({said}){why}"
    return _told(site, check, Said(found, other.node, other.part))


def mistaken(site: Site, other: Other, has: str, mac: str) -> str:
    """That a neighbour table has a wrong MAC address of it, told to the record."""
    check = other.ping()
    by = "neighbour discovery" if ":" in other.address else "ARP"
    found = (
        f"{by} told {check.guest.name} that {other.address} is at {has}, but {other.name} has {mac}: "
        "somebody else answers for it"
    )
    return _told(site, check, Said(found, other.node, "network"))


def judge(vm: str, other: Other, seen: Walk, rules: Sequence[Rule], unasked: bool = False) -> str:
    """The cause by what the walk saw and the other end's packet filter says; pure.

    *unasked*: its neighbour solicitations are not answered.
    """
    head = f"{other.name} answers pings of {vm} and not {other.sent}"
    if unasked:
        who = f"{other.address} of {other.name}"
        head = f"{vm} gets no answer to neighbour discovery for {who}, which it reaches over IPv4"
    if rules:
        return Said(f"{head}: its packet filter {rules[0].does} it ({rules[0]})", other.node, other.part)
    if seen.lost >= 0:
        return Said(f"{head}: {seen.found}", getattr(seen.found, "node", ""), getattr(seen.found, "part", ""))
    if seen.beyond:
        last = own_end(seen)
        text = f"{head}: it leaves {last.node} by {last.place} and nothing comes back: what is behind it drops it"
        return Said(text, last.node, "network")
    return Said(f"{head}, and none of what can be read between them loses it", other.node, other.part)


def _unasked(check: Check, other: Other) -> bool:
    """Whether IPv6 already ends at the question who has the address."""
    if other.sent.proto != "icmp6" or check.guest.shell is None:
        return False
    try:
        return arp(check.guest.shell, other.address, deadline=Deadline.after(READ_S)).not_reached
    except LabError:
        return False


def _rules(other: Other) -> tuple[Rule, ...]:
    if other.sent.proto not in ("tcp", "udp"):
        return ()
    return packetfilter.look(other.shell, other.sent.proto, other.sent.port, Deadline.after(READ_S))


def _told(site: Site, check: Check, found: str) -> str:
    tell_cause(scope_of(site, check.segment, check.nodes), found)
    return found
