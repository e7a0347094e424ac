"""Node: Open vSwitch maps a localnet to another bridge than the policy says: its packets go out of the wrong NIC.

OVN looks at a mapping when it makes a localnet's patch ports, and leaves those that are there where they are, by their
name (ovn controller/patch.c): a mapping that changes later breaks nothing until they are made anew. So they are taken
away, and are made anew, as for a node's first VM in that network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.bridge_mapping_missing import entry_of, read, write
from lab.embedded.faults.site import Runner, Site, one_of
from lab.embedded.faults.waiting import comes_true


class BridgeMappingWrong:
    """The localnet's entry in ``ovn-bridge-mappings`` names a bridge that is there, and is another one."""

    name = "bridge-mapping-wrong"
    layer = "node"
    summary = "a node's OVN has a localnet on the wrong bridge"
    parameters: Mapping[str, str] = {
        "node": "the worker", "localnet": "the localnet's name, e.g. vlan-2024", "bridge": "the bridge, e.g. br-ex",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        bridges = (await run(["ovs-vsctl", "list-br"])).split()
        bridge = one_of("an Open vSwitch bridge", arguments["bridge"], bridges)
        before = await read(run)
        entry = entry_of(before, arguments)
        wrong = f"{arguments['localnet']}:{bridge}"
        if wrong == entry:
            raise FaultError(f"wanted another bridge than {bridge}", f"the mapping is {entry} already")
        await write(run, [wrong if pair == entry else pair for pair in before])
        await self._move(run, arguments, bridge)
        return {"entry": entry}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        wrong, before = f"{arguments['localnet']}:{arguments['bridge']}", await read(run)
        if wrong in before:
            await write(run, [saved["entry"] if pair == wrong else pair for pair in before])
            await self._move(run, arguments, saved["entry"].partition(":")[2])

    async def _move(self, run: Runner, arguments: Mapping[str, str], bridge: str) -> None:
        """Have OVN make the localnet's patch ports anew, where it had some. Raises FaultError."""
        ports = await self._ports(run, arguments["localnet"])
        for port in ports:
            await run(["ovs-vsctl", "--if-exists", "del-port", port])

        async def moved() -> bool:
            return bool(set(ports) & set((await run(["ovs-vsctl", "list-ports", bridge])).split()))

        if ports and not await comes_true(moved):
            raise FaultError(
                f"wanted OVN to make the patch port of {arguments['localnet']} on {bridge} of {arguments['node']}",
                "it has not",
                advice="ovs-vsctl show; the log of ovn-controller",
            )

    async def _ports(self, run: Runner, localnet: str) -> Sequence[str]:
        """Both ends of what OVN made for a localnet, by its own notes."""
        asked = ["find", "Logical_Switch_Port", "type=localnet", f"options:network_name={localnet}"]
        found: list[str] = []
        for name in (await run(["ovn-nbctl", "--bare", "--columns=name", *asked])).split():
            noted = f"external_ids:ovn-localnet-port={name}"
            found += (await run(["ovs-vsctl", "--bare", "--columns=name", "find", "Port", noted])).split()
        return found
