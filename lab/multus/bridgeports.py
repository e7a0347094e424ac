"""A Linux bridge of a node as its kernel has it: ports, who was learned on which, what the spoof check lets through.

Reads and never writes: iproute2's JSON (ip-link(8), bridge(8)) and nft's (libnftables-json(5)); the chains are those of
the bridge plugin (containernetworking/plugins pkg/link/spoofcheck.go).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = "== virtlab =="
SCRIPT = f"""ip -j -d -s link show || exit 1
for what in "fdb show br $1" "vlan show"; do echo "{MARK}"; bridge -j -s $what 2>/dev/null; done
echo "{MARK}"; nft -j list table bridge nat 2>/dev/null
true"""
SPOOF = "macspoofchk-"


@dataclass(frozen=True)
class BridgePort:
    """One port; ``state`` is spanning tree's, ``vlans`` what it may carry (empty: the bridge filters none)."""

    name: str
    state: str = ""
    link: bool = False
    rx: int = 0
    tx: int = 0
    vlans: tuple[int, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class LinuxBridge:
    """One bridge: its ports by name; MAC address -> (port, seconds since it was last heard there)."""

    name: str
    filtering: bool = False
    ports: Mapping[str, BridgePort] = field(default_factory=dict)
    heard: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    allowed: Mapping[str, str] | None = None
    """Port -> the only MAC address that its spoof check lets in; None: the node has no such table."""


def look(bridge: str) -> tuple[str, ...]:
    """The command for :func:`read_bridge`."""
    return ("sh", "-c", SCRIPT, "sh", bridge)


def read_bridge(name: str, text: str) -> LinuxBridge | None:
    """The output of :func:`look`; None when the node has no such bridge. Raises ValueError for something else."""
    parts = text.split(MARK)
    if len(parts) != 4:
        raise ValueError(f"wanted four parts, found {len(parts)}: {text.strip()[-200:]!r}")
    links, fdb, vlans = (json.loads(part.strip() or "[]") for part in parts[:3])
    own = next((row for row in links if row.get("ifname") == name and _info(row).get("info_kind") == "bridge"), None)
    if own is None:
        return None
    filtering = bool((_info(own).get("info_data") or {}).get("vlan_filtering"))
    allowed = {str(v["ifname"]): tuple(int(e["vlan"]) for e in v.get("vlans") or ()) for v in vlans if "ifname" in v}
    mine = [row for row in links if row.get("master") == name]
    return LinuxBridge(
        name,
        filtering,
        {str(row["ifname"]): _port(row, allowed.get(str(row["ifname"]), ()) if filtering else ()) for row in mine},
        {str(e["mac"]): (str(e["ifname"]), int(e.get("updated", 0))) for e in fdb if _dynamic(e)},
        _spoof(parts[3].strip()),
    )


def _info(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row.get("linkinfo") or {}


def _dynamic(entry: Mapping[str, Any]) -> bool:
    return entry.get("state", "") == "" and "self" not in (entry.get("flags") or ()) and "ifname" in entry


def _port(row: Mapping[str, Any], vlans: tuple[int, ...]) -> BridgePort:
    counts = row.get("stats64") or row.get("stats") or {}
    return BridgePort(
        str(row["ifname"]),
        str((_info(row).get("info_slave_data") or {}).get("state", "")),
        "LOWER_UP" in (row.get("flags") or ()),
        int((counts.get("rx") or {}).get("packets", 0)),
        int((counts.get("tx") or {}).get("packets", 0)),
        vlans,
        str(_info(row).get("info_kind", "")),
    )


def _spoof(text: str) -> dict[str, str] | None:
    """Port -> MAC address, from the jump of the base chain to a pod's chains; None without a table."""
    if not text:
        return None
    rules = [entry["rule"] for entry in json.loads(text).get("nftables") or () if "rule" in entry]
    jumps: dict[str, str] = {}
    returns: dict[str, str] = {}
    for rule in rules:
        target, value = _jump(rule), _matched(rule.get("expr") or ())
        if target and value and str(rule.get("comment", "")).startswith(SPOOF):
            jumps[value] = target
        elif value and not target:
            returns[str(rule.get("chain"))] = value.lower()
    return {port: returns.get(f"{chain}-mac", "") for port, chain in jumps.items()}


def _jump(rule: Mapping[str, Any]) -> str:
    return next((str(e["jump"]["target"]) for e in rule.get("expr") or () if "jump" in e), "")


def _matched(expr: Sequence[Mapping[str, Any]]) -> str:
    """What the rule's first match compares with."""
    return next((str(e["match"]["right"]) for e in expr if "match" in e), "")
