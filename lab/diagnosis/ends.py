"""Both ends of a silent path, by what they say of themselves: the guest's NIC, the gateway's, what ARP told each.

It comes before and behind the look at the workers (`gather`): a guest without an address needs no further search, and
where the network passes, the neighbour tables of both ends tell on which way packets are lost. Nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, ip_network

from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.cause import Said
from lab.guest.outside import OutsideShell
from lab.guest.shell import Shell
from lab.probes.arp import Neighbour, parse_neighbours
from lab.target.segments import Segment
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

READ_S = 10.0
MARK = "== virtlab =="
ARGV = ("sh", "-c", f"; echo '{MARK}'; ".join([
    "ip -o link show", "ip -o -4 addr show", "ip neigh show", "ip -4 route show",
]))  # fmt: skip
_LINK = re.compile(r"^\d+: (?P<name>[^:@\s]+)\S* <(?P<flags>[^>]*)>.*link/ether (?P<mac>[0-9a-f:]{17})", re.M)
_ADDRESS = re.compile(r"^\d+: (?P<name>\S+)\s+inet (?P<address>\d+(?:\.\d+){3}(?:/\d+)?)", re.M)

_DEFAULT = re.compile(r"^default via (\d+(?:\.\d+){3})\b", re.M)


@dataclass(frozen=True)
class Nic:
    """A NIC as its own host shows it; addresses with their prefix."""

    name: str
    flags: frozenset[str]
    mac: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """One host: its NICs, its neighbour table by address, and where its default routes lead."""

    nics: tuple[Nic, ...] = ()
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()

    def with_mac(self, mac: str) -> Nic | None:
        """The NIC that has a MAC address."""
        return next((nic for nic in self.nics if nic.mac == mac.lower()), None)

    def with_address(self, address: str) -> Nic | None:
        """The NIC that has an IPv4 address."""
        return next((n for n in self.nics if any(a.partition("/")[0] == address for a in n.addresses)), None)


def read_end(text: str) -> End | None:
    """The output of :data:`ARGV`; None when it is something else."""
    parts = text.split(MARK)
    if len(parts) != 4 or (entries := parse_neighbours(parts[2])) is None:
        return None
    addresses = [(m["name"], m["address"]) for m in _ADDRESS.finditer(parts[1])]
    nics = tuple(
        Nic(m["name"], frozenset(m["flags"].split(",")), m["mac"], tuple(a for n, a in addresses if n == m["name"]))
        for m in _LINK.finditer(parts[0])
    )
    return End(nics, {entry.ip: entry for entry in entries}, tuple(_DEFAULT.findall(parts[3])))


def look(shell: Shell | None) -> End | None:
    """What a host says of itself; None when it cannot be asked."""
    try:
        return read_end(shell.run(ARGV, deadline=Deadline.after(READ_S)).stdout) if shell else None
    except LabError:
        return None


def outside(site: Site, segment: Segment) -> End | None:
    """The same of a segment's gateway, where the target has a way to it."""
    host = site.target.outside.get(segment.outside)
    return look(OutsideShell(host)) if host is not None and host.exec else None


def of_guest(vm: GuestVm, where: Segment, guest: End | None, *, unleased: bool = False) -> Said | None:
    """What the guest's own NIC says against it; None when that is well, or not known.

    *unleased*: that it has no address needs no telling, it is what the cause is looked for.
    """
    nic, own = guest.with_mac(vm.worn) if guest else None, vm.segment
    if nic is None:
        return None

    def said(text: str) -> Said:
        return Said(f"in the guest {vm.name} {text}", vm.node, "vm")

    if "UP" not in nic.flags:
        return said(f"its NIC {nic.name} is down")
    if "NO-CARRIER" in nic.flags:
        return said(f"its NIC {nic.name} has no carrier: the port on {vm.node} is unplugged")
    if not nic.addresses:
        return (
            None
            if unleased
            else said(f"its NIC {nic.name} has no IPv4 address (it was given {', '.join(vm.addresses) or 'none yet'})")
        )
    if own is not where:
        return None
    network = ip_network(own.subnet)
    there = [a for a in nic.addresses if IPv4Interface(a).ip in network]
    if not there:
        return said(f"its NIC {nic.name} has {', '.join(nic.addresses)}, which is not of {own.subnet} ({own})")
    if not any(IPv4Interface(a).network == network for a in there):
        return said(f"its NIC {nic.name} has {', '.join(there)}, so that {own.subnet} is not its network")
    return None


def of_route(vm: GuestVm, guest: End | None, address: str) -> Said | None:
    """What the guest's way to an address outside of its networks lacks; None when that is well, or not known."""
    if guest is None or any(IPv4Address(address) in IPv4Interface(a).network for n in guest.nics for a in n.addresses):
        return None
    if not guest.gateways:
        return Said(
            f"in the guest {vm.name} there is no default route, and {address} is in no network of it", vm.node, "vm"
        )
    told = [guest.neighbours.get(gateway) for gateway in guest.gateways]
    if any(entry is None or entry.mac for entry in told):
        return None
    where = ", ".join(guest.gateways)
    return Said(f"in the guest {vm.name} the default route leads to {where}, where nobody answers ARP", vm.node, "vm")


def open_to(found: str) -> bool:
    """Whether a cause leaves something to be told by the two ends."""
    return getattr(found, "part", "") in ("vm", "gateway", "network")


def refined(check: Check, found: str, guest: End | None, gateway: End | None) -> str:
    """The cause that the look at the workers found, or a nearer one by the two ends' neighbour tables. Pure.

    Only where that look blames no worker: what a worker says of itself is more certain.
    """
    asked = check.seen.target
    own = gateway.with_address(asked) if gateway else None
    if not open_to(found) or guest is None or own is None:
        return found
    vm, where = check.guest, check.segment
    told = guest.neighbours.get(asked)
    if told and told.mac and told.mac != own.mac:
        return Said(
            f"ARP told {vm.name} that {asked} on {where} is at {told.mac}, but the gateway has {own.mac}: "
            "somebody else answers for it",
            part="gateway",
        )
    if "UP" not in own.flags or (told and told.mac):
        return found
    back = gateway.neighbours.get(vm.address) if gateway else None
    if back and back.mac == vm.worn:
        return Said(
            f"the gateway {asked} heard {vm.name} ask by ARP, and its answer is lost on the way back: the switch does "
            f"not send frames for {vm.worn} on {where} to {vm.node}",
            vm.node,
            "cable",
        )
    if getattr(found, "part", "") == "network":
        return found
    return Said(
        f"ARP requests of {vm.name} for {asked} do not arrive at the gateway, which is up, while other packets on "
        f"{where} pass {vm.node}: the switch does not flood broadcasts to it",
        part="gateway",
    )
