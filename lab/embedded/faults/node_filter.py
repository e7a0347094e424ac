"""Faults that are rules of a node's packet filter: shared by those that differ only in the rule.

All are chains of one table of our own, so that healing one leaves the others and everything of the node's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, one_of

TABLE = "virtlab-fault"


class NodeRule:
    """One chain at the input hook with one rule. Healing may be done twice."""

    name = ""

    def chain(self, arguments: Mapping[str, str]) -> str:
        """The chain's name, another for each set of arguments."""
        return self.name

    def rule(self, arguments: Mapping[str, str]) -> str:
        """The rule in the words of nft, as it also lists them. Raises UsageError."""
        raise NotImplementedError

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        rule, chain = self.rule(arguments), self.chain(arguments)
        await run(["nft", f"add table inet {TABLE}"])
        await run(["nft", f"add chain inet {TABLE} {chain} {{ type filter hook input priority 0; }}"])
        await run(["nft", f"add rule inet {TABLE} {chain} {rule}"])
        found = await run(["nft", f"list chain inet {TABLE} {chain}"])
        if rule not in found:
            raise FaultError(f"wanted the rule `{rule}` on {arguments['node']}", f"the node says {found.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, chain = site.node(arguments["node"]), self.chain(arguments)
        if f"chain {chain} " in await run(["nft", "list", "ruleset"]):
            await run(["nft", f"delete chain inet {TABLE} {chain}"])
        found = await run(["nft", "list", "ruleset"])
        # An empty table does nothing, and would stand out as the node's own for ever.
        if f"table inet {TABLE} {{\n}}" in found:
            await run(["nft", f"delete table inet {TABLE}"])
        if f"chain {chain} " in found:
            raise FaultError(f"wanted no chain {chain} on {arguments['node']}", "it is still there")
