"""Node: Open vSwitch maps a localnet to another bridge than the policy says: its packets go out of the wrong NIC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.bridge_mapping_missing import entry_of, read, write
from lab.embedded.faults.site import Site, one_of


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
        return {"entry": entry}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        wrong = f"{arguments['localnet']}:{arguments['bridge']}"
        await write(run, [saved["entry"] if pair == wrong else pair for pair in await read(run)])
