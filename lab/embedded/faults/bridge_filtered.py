"""Node: its packet filter drops what arrives over a bridge, as a firewall does with an interface of no zone.

DHCP still works, since its client reads frames before the filter: every status is green.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site, one_of

TABLE = "virtlab-fault"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")


class BridgeFiltered:
    """A rule by the bridge's name, which need not be there yet."""

    name = "bridge-filtered"
    layer = "node"
    summary = "a node drops all packets for itself that arrive over a bridge"
    parameters: Mapping[str, str] = {"node": "the worker", "bridge": "the bridge's name, e.g. br1"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        bridge = arguments["bridge"]
        if not NAME.fullmatch(bridge):
            raise UsageError("wanted the name of a bridge", repr(bridge), advice="bridge=br1")
        await run(["nft", f"add table inet {TABLE}"])
        await run(["nft", f"add chain inet {TABLE} {bridge} {{ type filter hook input priority 0; }}"])
        await run(["nft", f'add rule inet {TABLE} {bridge} iifname "{bridge}" drop'])
        found = await run(["nft", f"list chain inet {TABLE} {bridge}"])
        if f'iifname "{bridge}" drop' not in found:
            raise FaultError(f"wanted a rule that drops packets over {bridge}", f"the node says {found.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        await run(["nft", f"delete chain inet {TABLE} {arguments['bridge']}"])
