"""Node: a bridge mapping disappears from Open vSwitch after the policy was Available, as a stray tool would do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

KEY = "external_ids:ovn-bridge-mappings"


class BridgeMappingMissing:
    """The localnet's entry is taken out of ``ovn-bridge-mappings``; the policy stays Available."""

    name = "bridge-mapping-missing"
    layer = "node"
    summary = "a node's OVN no longer knows which bridge a localnet is on"
    parameters: Mapping[str, str] = {"node": "the worker", "localnet": "the localnet's name, e.g. vlan-2024"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        before = await self._read(run)
        entry = [pair for pair in before if pair.partition(":")[0] == arguments["localnet"]]
        if not entry:
            raise FaultError(
                f"wanted a bridge mapping of {arguments['localnet']!r} on {arguments['node']}",
                f"it has {', '.join(before) or 'none'}",
                advice="apply the policy first",
            )
        await self._write(run, [pair for pair in before if pair not in entry])
        return {"entry": entry[0]}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        now = await self._read(run)
        if saved["entry"] not in now:
            await self._write(run, [*now, saved["entry"]])

    async def _read(self, run: Runner) -> list[str]:
        said = await run(["ovs-vsctl", "--if-exists", "get", "Open_vSwitch", ".", KEY])
        return [pair for pair in said.strip().strip('"').split(",") if pair]

    async def _write(self, run: Runner, pairs: list[str]) -> None:
        await run(["ovs-vsctl", "set", "Open_vSwitch", ".", f"{KEY}={','.join(pairs)}"])
        now = await self._read(run)
        if now != pairs:
            raise FaultError(f"wanted the bridge mappings {pairs}", f"the node says {now}")
