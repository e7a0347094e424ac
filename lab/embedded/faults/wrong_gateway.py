"""Guest: its default route is wrong: what is in its own network answers, all else does not."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.errors import UsageError
from lab.embedded.faults.guest import NIC, ROUTES, VM, InGuest


class WrongGateway(InGuest):
    """Its default route leads to a neighbour that is not there."""

    name = "wrong-gateway"
    summary = "a guest's default route leads to an address that nobody has"
    parameters: Mapping[str, str] = {**VM, "gateway": "the wrong gateway, e.g. 192.168.24.250"}
    saving = ROUTES

    def breaking(self, arguments: Mapping[str, str]) -> str:
        return f"{NIC}; ip route replace default via {_address(arguments)} dev $nic onlink"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return 'ip route del default; [ -z "$saved" ] || ip route add $saved'

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"ip route | grep -F 'default via {_address(arguments)} ' || true"


def _address(arguments: Mapping[str, str]) -> str:
    text = arguments["gateway"]
    if not all(part.isascii() and part.isdigit() for part in text.split(".")) or text.count(".") != 3:
        raise UsageError("wanted an IPv4 address", repr(text), advice="gateway=192.168.24.250")
    return text
