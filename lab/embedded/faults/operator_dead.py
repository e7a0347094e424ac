"""Node: no nmstate handler runs on a worker, as when the DaemonSet does not tolerate its taint.

A policy is Available all the same: it counts the nodes that have a handler, and nobody misses the other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, one_of
from lab.embedded.faults.waiting import comes_true
from lab.embedded.node.leftout import PID, TAKEN, WANTED

HANDLER = "nmstate-handler"
SECONDS = 15.0


class OperatorDead:
    """Its pod is gone and nothing of it runs; what it had reported of the worker stays."""

    name = "operator-dead"
    layer = "node"
    summary = "no nmstate handler runs on a worker: policies pass it by"
    parameters: Mapping[str, str] = {"node": "the worker"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        await self._leave_out(site, one_of("a worker", arguments["node"], site.nodes), [HANDLER])
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._leave_out(site, arguments["node"], [])

    async def _leave_out(self, site: Site, node: str, names: Sequence[str]) -> None:
        run = site.node(node)
        await run(["sh", "-c", 'printf %s "$1" > "$2"', "sh", "".join(names), str(WANTED)])
        await run(["kill", "-USR1", (await run(["cat", str(PID)])).strip()])

        async def taken() -> bool:
            return (await run(["cat", str(TAKEN)])).split() == list(names)

        if not await comes_true(taken, SECONDS):
            found = (await run(["cat", str(TAKEN)])).split()
            raise FaultError(
                f"wanted {HANDLER} {'left out of' if names else 'back on'} {node}",
                f"left out are: {', '.join(found) or 'none'}",
                where=f"{TAKEN} on {node}",
            )
