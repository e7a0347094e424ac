"""`macspoofchk`: frames of a pod's port with another source MAC address are dropped in the kernel.

Table, chains and comments are upstream's (containernetworking/plugins pkg/link/spoofcheck.go), so that what is read
about them is true here.  Where the kernel has no nftables for bridges the attachment fails: a check that is asked for
and does nothing would be worse than none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from lab.embedded.host.command import CommandFailed, run
from lab.embedded.node.cnierror import CniError

Obj = dict[str, Any]
TABLE = {"family": "bridge", "table": "nat"}
BASE = "PREROUTING"
PREFIX = "cni-br-iface-"


def chain_of(container: str, ifname: str) -> str:
    """The chain of one attachment; the one with its rules about the address is called like it, and `-mac`."""
    return f"{PREFIX}{container}-{ifname}"


def rules(port: str, mac: str, container: str, ifname: str) -> Obj:
    """The nftables commands that let only ``mac`` in through the bridge port ``port``. Pure."""
    chain = chain_of(container, ifname)
    comment = f"macspoofchk-{container}-{ifname}"
    address = {"payload": {"protocol": "ether", "field": "saddr"}}

    def rule(into: str, *expr: Obj) -> Obj:
        return {"add": {"rule": {**TABLE, "chain": into, "expr": list(expr), "comment": comment}}}

    base = {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}
    return _commands(
        {"add": {"table": {"family": "bridge", "name": "nat"}}},
        {"add": {"chain": {**TABLE, "name": BASE, **base}}},
        {"add": {"chain": {**TABLE, "name": chain}}},
        {"add": {"chain": {**TABLE, "name": f"{chain}-mac"}}},
        rule(BASE, _match({"meta": {"key": "iifname"}}, port), {"jump": {"target": chain}}),
        rule(chain, {"jump": {"target": f"{chain}-mac"}}),
        rule(f"{chain}-mac", _match(address, mac), {"return": None}),
        rule(f"{chain}-mac", {"drop": None}),
    )


def removal(listing: Obj, prefix: str) -> Obj:
    """The commands that take back all chains whose names begin with ``prefix``, from a listing of the table. Pure."""
    entries = listing.get("nftables") or []
    chains = [entry["chain"]["name"] for entry in entries if "chain" in entry]
    mine = [name for name in chains if name.startswith(prefix)]
    jumps = [entry["rule"] for entry in entries if "rule" in entry and _jumps(entry["rule"], mine)]
    return _commands(
        *({"delete": {"rule": {**TABLE, "chain": rule["chain"], "handle": rule["handle"]}}} for rule in jumps),
        *({"flush": {"chain": {**TABLE, "name": name}}} for name in mine),
        *({"delete": {"chain": {**TABLE, "name": name}}} for name in mine),
    )


def _commands(*commands: Obj) -> Obj:
    return {"nftables": list(commands)}


def _match(left: Obj, right: str) -> Obj:
    return {"match": {"op": "==", "left": left, "right": right}}


def _jumps(rule: Obj, chains: Iterable[str]) -> bool:
    return any("jump" in part and part["jump"]["target"] in chains for part in rule.get("expr") or [])


async def setup(port: str, mac: str, container: str, ifname: str) -> None:
    """Put the check on a port, in one transaction. Raises CniError."""
    try:
        await _apply(rules(port, mac, container, ifname))
    except CommandFailed as error:
        said = (error.result.stderr.strip() or error.found).splitlines()[0]
        raise CniError(f"failed to setup spoof-check: {said}") from error


async def teardown(prefix: str = PREFIX) -> None:
    """Take back every check whose chain begins with ``prefix``; what is gone, table included, is no error."""
    with contextlib.suppress(CommandFailed, ValueError):
        said = await run(["nft", "-j", "-a", "list", "table", "bridge", "nat"], check=False)
        commands = removal(json.loads(said.stdout or "{}"), prefix)
        if commands["nftables"]:
            await _apply(commands)


async def _apply(commands: Obj) -> None:
    await run(["nft", "-j", "-f", "-"], input=json.dumps(commands).encode())
