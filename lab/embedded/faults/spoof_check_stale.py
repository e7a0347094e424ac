"""Node: the spoof checks of a worker let in another MAC address than the VMs have, as rules of an earlier pod do.

Their frames end in the packet filter of the bridge, before the bridge has heard of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

TABLE = ("table", "bridge", "nat")
STALE = "02:00:00:00:01:dd"
_CHAIN = re.compile(r"^\s*chain (\S+-mac) \{$\n(?P<rules>(?:.*\n)*?)\s*\}$", re.M)
_RULE = re.compile(r"^\s*ether saddr (?P<mac>[0-9a-f:]{17}) (?P<rest>return.*?) # handle (?P<handle>\d+)$", re.M)


class SpoofCheckStale:
    """The address in each pod's rule is replaced."""

    name = "spoof-check-stale"
    layer = "node"
    summary = "the rules of macspoofchk on a worker let in another MAC address than the VMs have"
    parameters: Mapping[str, str] = {"node": "the worker"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        run = site.node(node)
        rules = await self._rules(run)
        for chain, _, rest, handle in rules:
            await self._replace(run, chain, handle, STALE, rest)
        if wrong := [mac for _, mac, _, _ in await self._rules(run) if mac != STALE]:
            raise FaultError(f"wanted every spoof check of {node} for {STALE}", f"there are some for {wrong}")
        return {"rules": [[chain, mac] for chain, mac, _, _ in rules]}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        """Chains of pods that went meanwhile are not put back."""
        run, before = site.node(arguments["node"]), dict(saved["rules"])
        for chain, mac, rest, handle in await self._rules(run):
            if mac == STALE and chain in before:
                await self._replace(run, chain, handle, before[chain], rest)
        if STALE in [mac for _, mac, _, _ in await self._rules(run)]:
            raise FaultError(f"wanted the spoof checks of {arguments['node']} as before", f"one is for {STALE}")

    async def _rules(self, run: Runner) -> list[tuple[str, str, str, str]]:
        """(chain, MAC address, rest of the rule, handle) of each pod's rule."""
        if "table bridge nat" not in await run(["nft", "list", "tables"]):
            return []
        said = await run(["nft", "-a", "list", *TABLE])
        # With -a the head of a chain has its handle behind it, too.
        said = re.sub(r"\{ # handle \d+$", "{", said, flags=re.M)
        return [
            (chain[1], rule["mac"], rule["rest"], rule["handle"])
            for chain in _CHAIN.finditer(said)
            for rule in _RULE.finditer(chain["rules"])
        ]

    async def _replace(self, run: Runner, chain: str, handle: str, mac: str, rest: str) -> None:
        await run(["nft", f"replace rule bridge nat {chain} handle {handle} ether saddr {mac} {rest}"])
