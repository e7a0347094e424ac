"""Node: the spoof checks of pods are flushed, as a reload of a firewall with `flush ruleset` does. Nobody notices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

CHAIN = ("chain", "bridge", "nat", "PREROUTING")


class SpoofCheckLost:
    """The base chain loses its jumps to the pods' chains."""

    name = "spoof-check-lost"
    layer = "node"
    summary = "a worker's firewall was reloaded, and the rules of macspoofchk are gone"
    parameters: Mapping[str, str] = {"node": "the worker"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        run = site.node(node)
        tables = await run(["nft", "-j", "list", "tables", "bridge"])
        if not any("table" in entry for entry in json.loads(tables)["nftables"]):
            return {"rules": []}
        rules = await self._rules(run)
        await run(["nft", "flush", *CHAIN])
        if left := await self._rules(run):
            raise FaultError(f"wanted no spoof check on {node}", f"there are {len(left)} rules")
        return {"rules": rules}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        """Jumps to chains of pods that went meanwhile are not put back."""
        run = site.node(arguments["node"])
        chains = await self._chains(run) if saved["rules"] else set()
        kept = [rule for rule in saved["rules"] if _target(rule) in chains]
        for rule in kept:
            # nft reads its words as one line: a name that begins with a digit, and a comment, must be quoted.
            port, comment = (json.dumps(text) for text in (rule["expr"][0]["match"]["right"], rule["comment"]))
            words = ["iifname", port, "jump", _target(rule), "comment", comment]
            await run(["nft", "add", "rule", *CHAIN[1:], *words])
        if len(now := await self._rules(run) if kept else []) < len(kept):
            raise FaultError(f"wanted {len(kept)} spoof checks back on {arguments['node']}", f"there are {len(now)}")

    async def _rules(self, run: Runner) -> list[dict[str, Any]]:
        found = json.loads(await run(["nft", "-j", "list", *CHAIN]))["nftables"]
        return [entry["rule"] for entry in found if "rule" in entry]

    async def _chains(self, run: Runner) -> set[str]:
        found = json.loads(await run(["nft", "-j", "list", "table", *CHAIN[1:3]]))["nftables"]
        return {entry["chain"]["name"] for entry in found if "chain" in entry}


def _target(rule: Mapping[str, Any]) -> str:
    return str(rule["expr"][-1]["jump"]["target"])
