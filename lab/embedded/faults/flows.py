"""Faults that are flows of the switch: shared by those that differ only in which, so that each says nothing else.

A flow carries a cookie made from the fault and its arguments, so that healing one leaves another alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site


class SwitchFlows:
    """Sets the flows that a fault names; healing deletes them. Both count what the switch has."""

    name = ""

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        """The flows of `ovs-ofctl add-flow`, without a cookie. Raises UsageError."""
        raise NotImplementedError

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        wanted, cookie = await self.flows(site, arguments), self._cookie(arguments)
        for flow in wanted:
            await site.switch(["ovs-ofctl", "add-flow", BRIDGE, f"cookie={cookie},{flow}"])
        if (found := await self._count(site, cookie)) != len(wanted):
            raise FaultError(f"wanted {len(wanted)} flows of {self.name} on the switch", f"it has {found}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        cookie = self._cookie(arguments)
        await site.switch(["ovs-ofctl", "del-flows", BRIDGE, f"cookie={cookie}/-1"])
        if left := await self._count(site, cookie):
            raise FaultError(f"wanted no flows of {self.name} on the switch", f"it has {left}")

    def _cookie(self, arguments: Mapping[str, str]) -> str:
        words = " ".join([self.name, *(f"{key}={arguments[key]}" for key in sorted(arguments))])
        return f"{zlib.crc32(words.encode()):#x}"

    async def _count(self, site: Site, cookie: str) -> int:
        said = await site.switch(["ovs-ofctl", "dump-flows", BRIDGE, f"cookie={cookie}/-1"])
        return sum("actions=" in line for line in said.splitlines())
