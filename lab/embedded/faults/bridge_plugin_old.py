"""Node: its bridge plugin is older than v0.8.0, as on a node that an update passed by.

It knows no `vlan` and says nothing: pods are well, and their frames go out untagged. So too with `macspoofchk`, which
came later: nothing is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of
from lab.embedded.node.bridgeplugin import OLD


class BridgePluginOld:
    """What was attached before stays as it is."""

    name = "bridge-plugin-old"
    layer = "node"
    summary = "a worker's bridge plugin is from before v0.8.0: it ignores vlan and macspoofchk in silence"
    parameters: Mapping[str, str] = {"node": "the worker"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        await site.node(node)(["touch", str(OLD)])
        await self._check(site.node(node), node, there=True)
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await site.node(arguments["node"])(["rm", "-f", str(OLD)])
        await self._check(site.node(arguments["node"]), arguments["node"], there=False)

    async def _check(self, run: Runner, node: str, *, there: bool) -> None:
        said = (await run(["find", str(OLD.parent), "-maxdepth", "1", "-name", OLD.name])).strip()
        if bool(said) is not there:
            raise FaultError(f"wanted {'an old' if there else 'its own'} bridge plugin on {node}", f"{OLD}: {said!r}")
