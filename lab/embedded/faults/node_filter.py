"""Faults that are rules of a packet filter, of a node's or an outside host's: shared by those that differ in the rule.

All are chains of one table of our own, so that healing one leaves the others and everything of the place's own alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

TABLE = "virtlab-fault"


class NodeRule:
    """Chains with one rule, at the input hook if nothing else is said. Healing may be done twice."""

    name = ""
    hooks: tuple[str, ...] = ("input",)

    def place(self, site: Site, arguments: Mapping[str, str]) -> tuple[str, Runner]:
        """Whose packet filter it is: its name, and what runs commands there. Raises UsageError."""
        node = one_of("a worker", arguments["node"], site.nodes)
        return node, site.node(node)

    def chain(self, arguments: Mapping[str, str]) -> str:
        """The chain's name, another for each set of arguments."""
        return self.name

    def rule(self, arguments: Mapping[str, str]) -> str:
        """The rule in the words of nft, as it also lists them. Raises UsageError."""
        raise NotImplementedError

    def _chains(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """Hook -> name of the chain there."""
        own = self.chain(arguments)
        return {hook: own if hook == self.hooks[0] else f"{own}-{hook}" for hook in self.hooks}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        where, run = self.place(site, arguments)
        rule = self.rule(arguments)
        await run(["nft", f"add table inet {TABLE}"])
        for hook, chain in self._chains(arguments).items():
            await run(["nft", f"add chain inet {TABLE} {chain} {{ type filter hook {hook} priority 0; }}"])
            await run(["nft", f"add rule inet {TABLE} {chain} {rule}"])
            found = await run(["nft", f"list chain inet {TABLE} {chain}"])
            if rule not in found:
                raise FaultError(f"wanted the rule `{rule}` on {where}", f"it says {found.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        where, run = self.place(site, arguments)
        before = await run(["nft", "list", "ruleset"])
        for chain in self._chains(arguments).values():
            if f"chain {chain} " in before:
                await run(["nft", f"delete chain inet {TABLE} {chain}"])
        found = await run(["nft", "list", "ruleset"])
        # An empty table does nothing, and would stand out as the place's own for ever.
        if f"table inet {TABLE} {{\n}}" in found:
            await run(["nft", f"delete table inet {TABLE}"])
        if left := [chain for chain in self._chains(arguments).values() if f"chain {chain} " in found]:
            raise FaultError(f"wanted no chain {', '.join(left)} on {where}", "it is still there")
