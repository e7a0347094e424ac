"""Guest: its NIC has another address than before, as after a lease of another server. The platform still shows the old.

Set while a guest moves, it is a guest that came with one address and left with another.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import ADDRESSES, NIC, PUT_BACK, VM, InGuest
from lab.embedded.faults.impostor import address_of


class AddressChanged(InGuest):
    """The first NIC's IPv4 addresses are replaced."""

    name = "address-changed"
    summary = "a guest's NIC has another address than it was given"
    parameters: Mapping[str, str] = {**VM, "address": "the other IPv4 address, with or without /prefix"}
    saving = ADDRESSES

    def breaking(self, arguments: Mapping[str, str]) -> str:
        other = address_of(arguments["address"])
        return f"{NIC}; ip -4 addr flush dev $nic; ip addr add {other} dev $nic"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return PUT_BACK

    def looking(self, arguments: Mapping[str, str]) -> str:
        other = address_of(arguments["address"])
        return ADDRESSES.replace("echo $a", f"case $a in {other}) echo $a;; esac")
