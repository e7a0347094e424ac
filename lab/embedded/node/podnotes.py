"""`k8s.ovn.org/pod-networks` read back: what a zone controller gave a pod on each of its networks.

On a cluster nobody else may write it; here whoever makes a pod can, and its parts become words of commands. So an
entry counts only if each part of it is what it should be. It must not make one: that is `podnetwork`'s.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_interface
from typing import Any

from lab.embedded.reading import json_of

POD_NETWORKS = "k8s.ovn.org/pod-networks"
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)


def entries(pod: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The usable entries, by network: ``default``, or ``namespace/name`` of a NAD."""
    with contextlib.suppress(ValueError):
        found = json_of((pod["metadata"].get("annotations") or {}).get(POD_NETWORKS) or "{}")
        if isinstance(found, dict):
            return {network: entry for network, entry in found.items() if isinstance(entry, dict) and _sound(entry)}
    return {}


def default_entry(pod: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of the default network; None for nothing usable."""
    entry = entries(pod).get("default")
    with contextlib.suppress(ValueError, KeyError):
        if entry is not None:
            address_of(entry)
            return entry
    return None


def cidr_of(entry: Mapping[str, Any]) -> IPv4Interface:
    """The first IPv4 address of an entry, with the length of the subnet that it is from."""
    cidrs = entry.get("ip_addresses") or [entry["ip_address"]]
    return IPv4Interface(cidrs[0])


def address_of(entry: Mapping[str, Any]) -> IPv4Address:
    """The same without the length."""
    return cidr_of(entry).ip


def _sound(entry: Mapping[str, Any]) -> bool:
    routes, mtu = entry.get("routes") or [], entry.get("mtu") or 0
    if not (isinstance(routes, list) and all(isinstance(route, dict) for route in routes)):
        return False
    cidrs = [*_several(entry, "ip_addresses", "ip_address"), *(route.get("dest") for route in routes)]
    hops = [*_several(entry, "gateway_ips", "gateway_ip"), *(route.get("nextHop") for route in routes)]
    try:
        # An address with a scope (fe80::1%a b) would carry words of its own.
        for parsed in (*(ip_interface(_text(cidr)) for cidr in cidrs), *(ip_address(_text(hop)) for hop in hops)):
            if "%" in str(parsed):
                return False
    except ValueError:
        return False
    return MAC.fullmatch(str(entry.get("mac_address"))) is not None and type(mtu) is int and 0 <= mtu < 65536


def _several(entry: Mapping[str, Any], many: str, one: str) -> Iterable[Any]:
    listed = entry.get(many) or []
    # What is no list is returned as one value that is no address.
    return [*(listed if isinstance(listed, list) else [listed]), *([entry[one]] if entry.get(one) is not None else [])]


def _text(value: Any) -> str:
    """Raises ValueError: an address may also be built of a number, which no writer means."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value
