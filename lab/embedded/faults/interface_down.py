"""Guest: its NIC is down. The platform sees a cable that is plugged in at both ends."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import NIC, ROUTES, InGuest


class InterfaceDown(InGuest):
    """`ip link set down`."""

    name = "interface-down"
    summary = "a guest's NIC is down"
    saving = ROUTES

    def breaking(self, arguments: Mapping[str, str]) -> str:
        return f"{NIC}; ip link set dev $nic down"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return f'{NIC}; ip link set dev $nic up; [ -z "$saved" ] || ip route replace $saved'

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"{NIC}; ip -o link show dev $nic | grep -v '[<,]UP[,>]' || true"
