"""Guest: its prefix length is wrong. All around it is well, and every status of the platform is green."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import ADDRESSES, NIC, PUT_BACK, InGuest


class WrongMask(InGuest):
    """Its address is one of a network of its own: what it takes for far away has no route."""

    name = "wrong-mask"
    summary = "a guest's address has the prefix length 32: its gateway and peers are not in its network"
    saving = ADDRESSES

    def breaking(self, arguments: Mapping[str, str]) -> str:
        narrow = 'for a in $all; do ip addr add "${a%/*}/32" dev $nic; done'
        return f"{NIC}; all=$({ADDRESSES}); ip -4 addr flush dev $nic; {narrow}"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return PUT_BACK

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"{ADDRESSES.replace('echo $a', 'case $a in */32) echo $a;; esac')}"
