"""Node: a NIC has another name, as after an update that counts slots otherwise. Its users look for the old one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of, spec


class NicRenamed:
    """`ip link set NIC name NIC.x`, while it is down, as the kernel wants it."""

    name = "nic-renamed"
    layer = "node"
    summary = "a NIC of a worker has another name than its bonds and bridges know"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "its NIC, e.g. enp7s0f0"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        nic = one_of(f"a NIC of {node}", arguments["nic"], spec(node).nics)
        await self._rename(site.node(node), nic, _other(nic))
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, nic = site.node(arguments["node"]), arguments["nic"]
        if nic not in await self._names(run):
            await self._rename(run, _other(nic), nic)

    async def _rename(self, run: Runner, old: str, new: str) -> None:
        for words in (["down"], ["name", new]):
            await run(["ip", "link", "set", "dev", old, *words])
        await run(["ip", "link", "set", "dev", new, "up"])
        if new not in (names := await self._names(run)):
            raise FaultError(f"wanted {old} renamed {new}", f"the links are {', '.join(sorted(names))}")

    async def _names(self, run: Runner) -> set[str]:
        return {str(link["ifname"]) for link in json.loads(await run(["ip", "-j", "link", "show"]))}


def _other(nic: str) -> str:
    return f"{nic}.x"
