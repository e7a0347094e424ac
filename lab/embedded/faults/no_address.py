"""Guest: its NIC has no address. All around it is well, and every status of the platform is green."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import ADDRESSES, NIC, PUT_BACK, InGuest


class NoAddress(InGuest):
    """The first NIC loses its IPv4 addresses, as after a lease that nobody renewed."""

    name = "no-address"
    summary = "a guest's NIC has no IPv4 address"
    saving = ADDRESSES

    def breaking(self, arguments: Mapping[str, str]) -> str:
        return f"{NIC}; ip -4 addr flush dev $nic"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return PUT_BACK

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"[ -n \"$({ADDRESSES})\" ] || echo 'no address'"
