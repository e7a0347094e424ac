"""A link as ``ip address show dev NAME`` prints it for people. Pure.

The documentation shows this layout: its text and a node's own answer must be read alike to be compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HEAD = re.compile(r"(?P<index>\d+): (?P<name>[^\s:@]+)(?:@\S+)?: <(?P<flags>[A-Z0-9_,-]*)>(?P<rest>.*)")
_MAC = re.compile(r"\s+link/\S+ (?P<mac>[0-9a-f:]+)\b.*")
_ADDRESS = re.compile(r"\s+inet6? (?P<address>[0-9a-f.:]+)/(?P<prefix>\d+)(?P<rest>.*)")
_LIFETIME = re.compile(r"\s+valid_lft (?P<valid>forever|\d+sec) .*")
_WORDS = frozenset({"dynamic", "noprefixroute", "tentative", "deprecated", "secondary", "temporary", "dadfailed"})


@dataclass(frozen=True)
class Address:
    """``words`` are those that say where it is from: ``dynamic``, ``noprefixroute``; ``valid_s`` None is for ever."""

    address: str
    prefix: int
    scope: str = ""
    words: frozenset[str] = frozenset()
    valid_s: int | None = None

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True)
class Link:
    """``master`` is empty for a link that is no port."""

    name: str
    flags: frozenset[str]
    state: str = ""
    master: str = ""
    mac: str = ""
    addresses: tuple[Address, ...] = field(default_factory=tuple)

    @property
    def ipv4(self) -> tuple[Address, ...]:
        return tuple(a for a in self.addresses if ":" not in a.address)


def read_link(text: str) -> Link:
    """The one link of the text. Raises ValueError when there is none, or more than one."""
    heads = [match for line in text.splitlines() if (match := _HEAD.fullmatch(line))]
    if len(heads) != 1:
        raise ValueError(f"wanted one link, found {len(heads)} in {text.strip()[:200]!r}")
    head = heads[0]
    options = _options(head["rest"])
    mac, addresses = "", []
    for line in text.splitlines():
        if match := _MAC.fullmatch(line):
            mac = match["mac"]
        elif match := _ADDRESS.fullmatch(line):
            addresses.append((match["address"], int(match["prefix"]), match["rest"].split(), ""))
        elif addresses and (match := _LIFETIME.fullmatch(line)):
            addresses[-1] = (*addresses[-1][:3], match["valid"])
    return Link(
        name=head["name"],
        flags=frozenset(flag for flag in head["flags"].split(",") if flag),
        state=options.get("state", ""),
        master=options.get("master", ""),
        mac=mac,
        addresses=tuple(_address(*entry) for entry in addresses),
    )


def _options(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=False))


def _address(address: str, prefix: int, rest: list[str], valid: str) -> Address:
    scope = rest[rest.index("scope") + 1] if "scope" in rest[:-1] else ""
    seconds = int(valid.removesuffix("sec")) if valid.endswith("sec") else None
    return Address(address, prefix, scope, frozenset(rest) & _WORDS, seconds)
