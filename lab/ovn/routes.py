"""One row of ``ovn-nbctl lr-route-list``: read, printed, and nothing judged.

The layout (OVN 20.03 and later) is words, not columns: ``%25s`` is a minimum width that long IPv6 addresses overflow.
The first ``dst-ip`` or ``src-ip`` divides a row: before it the prefix and at most one next hop, after it the output
port and flags in a fixed order.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_network

POLICIES = ("dst-ip", "src-ip")
FLAGS = ("(learned)", "ecmp", "ecmp-symmetric-reply", "override-connected", "bfd")
"""In the order ovn-nbctl prints them."""
MAIN = "<main>"
DISCARD = "discard"


@dataclass(frozen=True)
class Route:
    """A static route of a logical router. Addresses are as OVN prints them: a full mask is left out."""

    prefix: str
    nexthop: str = ""
    """An address, ``discard``, or empty: a route that has a port only."""
    policy: str = "dst-ip"
    port: str = ""
    flags: tuple[str, ...] = ()
    table: str = MAIN

    def __str__(self) -> str:
        words = [f"{self.prefix:>25} {self.nexthop:>25} {self.policy}", self.port, *self.flags]
        return " ".join(word for word in words if word)

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.prefix else 4


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 or IPv6 address without a mask."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError, UnicodeError):
        return False
    return "%" not in text


def is_prefix(text: str) -> bool:
    """Whether *text* is an address with or without a mask in bits."""
    address, slash, bits = text.partition("/")
    if not is_address(address):
        return False
    return not slash or (bits.isascii() and bits.isdigit() and int(bits[:4]) <= (128 if ":" in address else 32))


@lru_cache(maxsize=1 << 16)
def plain(prefix: str) -> str:
    """A prefix as OVN prints it: host bits cleared, full mask left out, IPv6 short. Raises ValueError.

    Kept for a while: each zone's database has the same prefixes.
    """
    network = ip_network(prefix.strip(), strict=False)
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def parse_row(line: str, table: str = MAIN) -> Route | None:
    """The route that a line holds; None where it holds none (a heading, a prompt, a row cut off)."""
    words = line.split()
    at = next((i for i, word in enumerate(words[:3]) if word in POLICIES), 0)
    if at == 0 or not is_prefix(words[0]):
        return None
    nexthop = words[1] if at == 2 else ""
    if nexthop and nexthop != DISCARD and not is_address(nexthop):
        return None
    rest = words[at + 1 :]
    port = rest.pop(0) if rest and rest[0] not in FLAGS else ""
    if not (nexthop or port) or any(word not in FLAGS for word in rest):
        return None
    return Route(words[0], nexthop, words[at], port, tuple(rest), table)


def looks_cut(line: str) -> bool:
    """Whether a line is the beginning of a row: a prefix, perhaps a next hop, and no policy."""
    words = line.split()
    if not words or not is_prefix(words[0]) or len(words) > 3:
        return False
    if len(words) == 3 and not any(p.startswith(words[2]) for p in POLICIES):
        return False
    return len(words) < 2 or not words[1].strip("0123456789abcdef.:")


def print_routes(routes: list[Route]) -> str:
    """What ovn-nbctl prints for these routes: headings by family and table, rows in the order given."""
    parts: list[str] = []
    for family in (4, 6):
        mine = [route for route in routes if route.family == family]
        if not mine:
            continue
        parts += ["", f"IPv{family} Routes"] if parts else [f"IPv{family} Routes"]
        for number, table in enumerate(dict.fromkeys(route.table for route in mine)):
            parts += [""] if number else []
            parts += [f"Route Table {table}:", *(str(route) for route in mine if route.table == table)]
    return "\n".join([*parts, ""]) if parts else ""


def number(address: str) -> int:
    """An address as an integer. Raises OSError or ValueError."""
    if ":" in address:
        return int(IPv6Address(address))
    return int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
