"""Addresses that guests get by DHCP: waiting for one, and seeing whether it is still there.

They are read in the guest, over its console: what the platform reports of them comes later, and only with an agent.
"""

from __future__ import annotations

import ipaddress
import re

from lab.core.deadline import Deadline
from lab.core.wait import Periodic, Seen, wait_until
from lab.guest.shell import Shell
from lab.target.inventory import Segment
from lab.topology.scene import GuestVm, Scene

LEASE_S = 60.0
ASK_S = 20.0
_ADDRESS = re.compile(r"\binet (\d+\.\d+\.\d+\.\d+)/\d+")


def addresses(shell: Shell, segment: Segment) -> tuple[str, ...]:
    """The guest's addresses in a segment now. Raises GuestUnreachable."""
    said = shell.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], deadline=Deadline.after(ASK_S)).stdout
    subnet = ipaddress.ip_network(segment.subnet)
    return tuple(found for found in _ADDRESS.findall(said) if ipaddress.ip_address(found) in subnet)


def wait(scene: Scene, name: str) -> GuestVm:
    """Wait until a VM that asks for one has an address in its segment, and keep that as its own. Raises WaitTimeout."""
    guest = scene.guest(name)
    scene.settle()
    shell = guest.shell
    assert shell is not None

    def observe() -> Seen[tuple[str, ...]]:
        found = addresses(shell, guest.segment)
        return Seen(", ".join(found) or "no address in it", bool(found), found)

    found = wait_until(
        str(guest),
        f"an address of {guest.segment.subnet} from a DHCP server on {guest.segment}",
        observe,
        deadline=Deadline.after(LEASE_S),
        changes=Periodic(1.0, "a guest does not announce its addresses"),
        advice="does a DHCP server answer on that network (`virtlab outside exec`, or tcpdump there)?",
    )
    guest.addresses = found or ()
    return guest
