"""A guest's interfaces as it says itself: what `ip -o link` and `ip -o addr` print. Pure."""

from __future__ import annotations

import re

_LINK = re.compile(r"^\d+: (?P<name>[^:@\s]+)[@:].*? link/ether (?P<mac>[0-9a-f:]{17})", re.M)
_ADDRESS = re.compile(r"^\d+: (?P<name>\S+)\s+inet6? (?P<address>\S+) .*?scope (?P<scope>\w+)", re.M)


def read_addresses(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Interface -> (MAC, addresses with prefix length); those of the link's scope are left out, as is the loopback."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {m["name"]: (m["mac"], ()) for m in _LINK.finditer(text)}
    for match in _ADDRESS.finditer(text):
        if match["scope"] == "global" and match["name"] in found:
            mac, addresses = found[match["name"]]
            found[match["name"]] = (mac, (*addresses, match["address"]))
    return found


def read_link_locals(text: str) -> dict[str, str]:
    """Interface -> its first link-local IPv6 address, without prefix length."""
    found: dict[str, str] = {}
    for match in _ADDRESS.finditer(text):
        if match["scope"] == "link" and match["address"].startswith("fe80:"):
            found.setdefault(match["name"], match["address"].partition("/")[0])
    return found
