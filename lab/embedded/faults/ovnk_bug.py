"""OVN: every zone's controller has a fault that releases of OVN-Kubernetes had, by the name of its report.

Setting it replaces the controllers by older ones, healing it by newer ones: they start anew, and a newer one puts right
at its start what it finds wrong.  Until then, what an older one leaves behind stays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of
from lab.embedded.host.command import CommandFailed
from lab.embedded.node.ovnkube import PIDFILE
from lab.embedded.node.vmroutes import BUGS
from lab.embedded.node.vmzone import BUGS as KEY

START_SECONDS = 25


def known(name: str) -> str:
    """The name of a bug that zones can have. Raises UsageError listing them."""
    return one_of("a bug of OVN-Kubernetes", name, BUGS)


class OvnkBug:
    """The controllers of all zones have a known bug."""

    name = "ovnk-bug"
    layer = "ovn"
    summary = "OVN-Kubernetes is a release with a known bug, in every zone"
    parameters: Mapping[str, str] = {"bug": f"its report: {', '.join(BUGS)}"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        bug = known(arguments["bug"])
        try:
            await self._all(site, [bug])
        except FaultError:
            # Half a cluster with the bug is what nobody asked for, and no record would tell of it.
            with contextlib.suppress(FaultError):
                await self._all(site, [])
            raise
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._all(site, [])

    async def _all(self, site: Site, bugs: list[str]) -> None:
        done = [self._have(site.node(node), node, bugs) for node in site.nodes]
        for failure in await asyncio.gather(*done, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    async def _have(self, run: Runner, node: str, bugs: list[str]) -> None:
        """Change the node's setting, start its controller anew, and wait until that says what it has."""
        wanted = f'external_ids:{KEY}="{",".join(bugs)}"'
        await run(["ovn-nbctl", "remove", "NB_Global", ".", "external_ids", KEY])
        await run(["ovs-vsctl", "set", "Open_vSwitch", ".", wanted])
        await run(["kill", "-HUP", (await run(["cat", str(PIDFILE)])).strip()])
        try:
            await run(["ovn-nbctl", f"--timeout={START_SECONDS}", "wait-until", "NB_Global", ".", wanted])
        except CommandFailed as silent:
            raise FaultError(
                f"wanted the zone controller of {node} to start with {', '.join(bugs) or 'no bug'}",
                f"nothing of it in {START_SECONDS} s ({silent.found})",
                where=f"external_ids:{KEY} of NB_Global on {node}",
                advice=f"virtlab node exec {node} -- ovn-nbctl get NB_Global . external_ids",
            ) from silent
