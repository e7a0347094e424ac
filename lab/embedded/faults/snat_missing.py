"""OVN: a gateway router no longer translates pods' addresses; what they send leaves, and no answer finds its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Runner, Site
from lab.embedded.host.ovs import rows
from lab.embedded.node.podnetwork import CLUSTER


class SnatMissing:
    """The rule for the cluster's network is taken out of the node's gateway router."""

    name = "snat-missing"
    layer = "ovn"
    summary = "a worker's gateway router does not translate the addresses of pods"
    parameters: Mapping[str, str] = {"node": "the worker of the gateway router"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        zone = ovnzone.member(site, arguments)
        run, router = site.node(zone.name), f"GR_{zone.name}"
        found = await self._rules(run)
        if not found:
            raise FaultError(f"wanted the rule snat {CLUSTER} in {router}", "it has none")
        await ovnzone.change(run, "lr-nat-del", router, "snat", str(CLUSTER))
        if await self._rules(run):
            raise FaultError(f"wanted no rule snat {CLUSTER} in {router}", "it still has one")
        return {"external": found[0]}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, router = site.node(arguments["node"]), f"GR_{arguments['node']}"
        rule = ("snat", saved["external"], str(CLUSTER))
        await ovnzone.change(run, "--may-exist", "lr-nat-add", router, *rule)
        if await self._rules(run) != [saved["external"]]:
            raise FaultError(f"wanted the rule snat {CLUSTER} back in {router}", "it is not there")

    async def _rules(self, run: Runner) -> list[str]:
        said = await run(["ovn-nbctl", "--format=json", "--columns=type,external_ip,logical_ip", "list", "NAT"])
        return [row["external_ip"] for row in rows(said) if (row["type"], row["logical_ip"]) == ("snat", str(CLUSTER))]
