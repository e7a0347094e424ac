"""Which addresses of this node's pod subnet are taken, and by which pod.

Pure bookkeeping: the truth is in the pods' annotations, from which it is filled again when an agent starts.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from lab.embedded.errors import LabError

RESERVED = 2
"""The gateway (.1) and the management port (.2) come before the first pod."""


class Pool:
    """The addresses of one subnet by owner (``namespace/name`` of a pod).

    As OVN-Kubernetes' allocator it goes round: a freed address is handed out again only after all others, so
    that nobody's stale neighbour entry leads to the next pod.
    """

    def __init__(self, subnet: IPv4Network) -> None:
        self.subnet = subnet
        self._owners: dict[IPv4Address, str] = {}
        self._taken: dict[str, IPv4Address] = {}
        self._last = RESERVED

    def take(self, owner: str) -> IPv4Address:
        """The address of ``owner``: the one it has, else the next free one. Raises LabError when all are taken."""
        if owner in self._taken:
            return self._taken[owner]
        first, count = RESERVED + 1, self.subnet.num_addresses - RESERVED - 2
        for step in range(count):
            number = first + (self._last + 1 - first + step) % count
            address = self.subnet[number]
            if address not in self._owners:
                self._last = number
                self._put(owner, address)
                return address
        raise LabError(
            f"wanted a free address for pod {owner}",
            f"all {count} are taken",
            where=f"subnet {self.subnet}",
            advice="delete pods of this node",
        )

    def hold(self, owner: str, address: IPv4Address) -> bool:
        """Note an address given earlier; False when another pod has it. One of another subnet takes nothing here."""
        if address not in self.subnet or self._owners.get(address) == owner:
            return True
        if address in self._owners:
            return False
        self.release(owner)
        self._put(owner, address)
        return True

    def release(self, owner: str) -> None:
        """Free what ``owner`` has; nothing is no error."""
        address = self._taken.pop(owner, None)
        if address is not None:
            del self._owners[address]

    def _put(self, owner: str, address: IPv4Address) -> None:
        self._owners[address], self._taken[owner] = owner, address
