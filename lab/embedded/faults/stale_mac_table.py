"""Fabric: the switch believes a MAC address behind a worker where it is not, and does not learn better.

What a move without announcement leaves for minutes, and a "sticky" or secured address for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site, one_of, trunks, vlan_of

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class StaleMacTable:
    """A static entry of the switch's MAC table on the worker's first trunk."""

    name = "stale-mac-table"
    layer = "fabric"
    summary = "the switch sends frames for a MAC address to a worker where it is not"
    parameters: Mapping[str, str] = {
        "node": "the worker it is believed at", "vlan": "the VLAN id", "mac": "the MAC address, e.g. a VM's",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, vlan, mac = one_of("a worker", arguments["node"], site.nodes), vlan_of(arguments), arguments["mac"]
        if not MAC.fullmatch(mac):
            raise UsageError("wanted a MAC address in lower case", repr(mac), advice="mac=02:00:00:20:24:10")
        port = await self._port(site, node)
        await site.switch(["ovs-appctl", "fdb/add", BRIDGE, port, str(vlan), mac])
        if not await self._static(site, vlan, mac):
            raise FaultError(f"wanted {mac} of VLAN {vlan} fixed at {port}", "the switch's table has it not")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        vlan, mac = vlan_of(arguments), arguments["mac"]
        if await self._static(site, vlan, mac):
            await site.switch(["ovs-appctl", "fdb/del", BRIDGE, str(vlan), mac])
        if await self._static(site, vlan, mac):
            raise FaultError(f"wanted {mac} of VLAN {vlan} no longer fixed", "the switch's table still has it")

    async def _port(self, site: Site, node: str) -> str:
        """A bond is known to the table by its first member's name."""
        lag = (await trunks(site, node))[0]
        row = (await site.switch(["ovs-vsctl", "get", "Port", lag, "interfaces"])).strip("[]\n").split(",")[0]
        return (await site.switch(["ovs-vsctl", "get", "Interface", row.strip(), "name"])).strip().strip('"')

    async def _static(self, site: Site, vlan: int, mac: str) -> bool:
        said = await site.switch(["ovs-appctl", "fdb/show", BRIDGE])
        rows = [line.split() for line in said.splitlines()]
        return any(row[1:4] == [str(vlan), mac, "static"] for row in rows)
