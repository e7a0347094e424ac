"""Node: a bridge mapping disappears from Open vSwitch after the policy was Available, as a stray tool would do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

KEY = "external_ids:ovn-bridge-mappings"


async def read(run: Runner) -> list[str]:
    """The mappings of a node, each ``localnet:bridge``."""
    said = await run(["ovs-vsctl", "--if-exists", "get", "Open_vSwitch", ".", KEY])
    return [pair for pair in said.strip().strip('"').split(",") if pair]


async def write(run: Runner, pairs: list[str]) -> None:
    """Set the mappings and read them back. Raises FaultError."""
    await run(["ovs-vsctl", "set", "Open_vSwitch", ".", f"{KEY}={','.join(pairs)}"])
    now = await read(run)
    if now != pairs:
        raise FaultError(f"wanted the bridge mappings {pairs}", f"the node says {now}")


def entry_of(pairs: list[str], arguments: Mapping[str, str]) -> str:
    """The mapping of the localnet among the arguments. Raises FaultError."""
    for pair in pairs:
        if pair.partition(":")[0] == arguments["localnet"]:
            return pair
    raise FaultError(
        f"wanted a bridge mapping of {arguments['localnet']!r} on {arguments['node']}",
        f"it has {', '.join(pairs) or 'none'}",
        advice="apply the policy first",
    )


class BridgeMappingMissing:
    """The localnet's entry is taken out of ``ovn-bridge-mappings``; the policy stays Available."""

    name = "bridge-mapping-missing"
    layer = "node"
    summary = "a node's OVN no longer knows which bridge a localnet is on"
    parameters: Mapping[str, str] = {"node": "the worker", "localnet": "the localnet's name, e.g. vlan-2024"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        before = await read(run)
        entry = entry_of(before, arguments)
        await write(run, [pair for pair in before if pair != entry])
        return {"entry": entry}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        now = await read(run)
        if saved["entry"] not in now:
            await write(run, [*now, saved["entry"]])
