"""Layer 2 networks that guests are put on: VLANs, and untagged ones that the target names. Data and how it is read.

Who may have which address of a network is said here and nowhere else.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from lab.core.errors import UsageError
from lab.target.document import Section


@dataclass(frozen=True)
class Segment:
    """A VLAN, or an untagged network (`vlan` 0).

    `gateway` answers pings; `pool` is first and last address free for guests of a run (empty: none, `dhcp` then says
    that the network gives them); `outside` names the outside host in it ("" none).
    """

    name: str
    gateway: str
    subnet: str
    pool: tuple[str, str]
    outside: str = ""
    vlan: int = 0
    dhcp: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def prefix(self) -> int:
        return ipaddress.ip_network(self.subnet).prefixlen

    def address(self, index: int) -> str:
        """The index-th address of the pool (0 is the first). Raises UsageError past its end, and without pool."""
        if not self.pool[0]:
            raise UsageError(f"a pool of addresses of {self}", "the target names none", "", "add `pool` to it")
        first, last = (ipaddress.ip_address(a) for a in self.pool)
        found = first + index
        if index < 0 or int(found) > int(last):
            raise UsageError(f"address {index + 1} of {self}'s pool", f"it has {int(last) - int(first) + 1}")
        return str(found)

    def with_prefix(self, index: int) -> str:
        """The same as `address/prefix`."""
        return f"{self.address(index)}/{self.prefix}"


def read_vlans(top: Section) -> dict[int, Segment]:
    """The ``vlans`` of a target file. Raises UsageError with line and key."""
    found: dict[int, Segment] = {}
    for section in top.sections("vlans"):
        number = section.number("id")
        if number in found:
            raise section.complain("id", "each VLAN once", f"{number} is there twice")
        found[number] = read_segment(section, f"VLAN {number}", number)
    return found


def read_segment(section: Section, name: str, vlan: int = 0) -> Segment:
    """One network. Raises UsageError with line and key."""
    gateway = section.address("gateway")
    subnet = section.parsed("subnet", "a network such as 192.168.24.0/24", ipaddress.ip_network)
    if ipaddress.ip_address(gateway) not in subnet:
        raise section.complain("gateway", f"an address in {subnet}", gateway)
    pool, dhcp = _pool(section, gateway, subnet), section.flag("dhcp")
    if not pool[0] and not dhcp:
        advice = "pool: FIRST-LAST for addresses that a run may give out, or dhcp: true"
        raise section.complain("pool", "where guests get addresses", "neither pool nor dhcp", advice)
    return Segment(name, gateway, str(subnet), pool, section.text("outside"), vlan, dhcp)


def _pool(section: Section, gateway: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[str, str]:
    if not section.has("pool"):
        return "", ""
    first, last = section.parsed("pool", "first-last, such as 192.168.24.20-192.168.24.99", _range)
    for address in (first, last):
        if ipaddress.ip_address(address) not in subnet:
            raise section.complain("pool", f"an address in {subnet}", address)
    low, middle, high = (int(ipaddress.ip_address(a)) for a in (first, gateway, last))
    if low <= middle <= high:
        raise section.complain("pool", f"a pool without the gateway {gateway}", f"{first}-{last}")
    return first, last


def _range(text: str) -> tuple[str, str]:
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash:
        raise ValueError("there is no dash")
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if low.version != high.version or int(low) > int(high):
        raise ValueError("the first is above the last")
    return str(low), str(high)
