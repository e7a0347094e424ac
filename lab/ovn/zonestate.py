"""What one zone does beside routing: its daemons, the ports it has bound, its gateway's rules, its tunnels' counters.

One exec for all of it, in the container that OVN-Kubernetes runs on the node; reads and never writes. Counters come
from the switch itself (``ovs-ofctl dump-ports``): those in the database are seconds old.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.core.numerals import whole
from lab.ovn import ovsdb

MARK = "== zone: "
_PARTS = {
    "northd": "ovn-appctl -T 5 -t ovn-northd status",
    "controller": "ovn-appctl -T 5 -t ovn-controller connection-status",
    "bindings": "ovn-sbctl --no-leader-only --format=json --columns=logical_port,chassis,type list Port_Binding",
    "interfaces": "ovs-vsctl --format=json --columns=name,type,external_ids,options,ofport,link_state list Interface",
    "nat": "ovn-nbctl --no-leader-only --format=json --columns=type,external_ip,logical_ip list NAT",
    "encap": "ovs-vsctl get Open_vSwitch . external_ids:ovn-encap-ip",
    "counters": "ovs-ofctl dump-ports br-int",
}
SCRIPT = "\n".join(f"echo '{MARK}{name}'; {words} 2>&1" for name, words in _PARTS.items()) + "\ntrue"
ARGV = ("sh", "-c", SCRIPT)
_PORT = re.compile(r'port +"?([^":]+)"?: rx pkts=(\d+|\?).*\n +tx pkts=(\d+|\?)')
_STATUS = re.compile(r"Status: (\w+)")


@dataclass(frozen=True)
class Tunnel:
    """The tunnel to one other node, with the packets that came out of it and went into it so far."""

    name: str
    remote: str
    received: int = 0
    sent: int = 0


@dataclass(frozen=True)
class ZoneState:
    """One zone as it was read. A daemon is "" when it works, else what is wrong with it in its own words."""

    node: str
    northd: str = ""
    controller: str = ""
    bound: Mapping[str, bool] = field(default_factory=dict)
    """Logical port -> whether a chassis has it; absent: the southbound database does not know it."""
    plugged: Mapping[str, str] = field(default_factory=dict)
    """Logical port -> the interface on this node that says it is it."""
    installed: frozenset[str] = frozenset()
    """Logical ports whose flows ovn-controller has installed here."""
    snat: tuple[str, ...] = ()
    """Networks and addresses whose traffic some gateway router of the zone translates."""
    tunnels: tuple[Tunnel, ...] = ()
    encaps: tuple[str, ...] = ()
    """The addresses of the node that tunnels come from and lead to."""

    def to(self, other: ZoneState) -> Tunnel | None:
        """The tunnel that leads to another node."""
        return next((tunnel for tunnel in self.tunnels if tunnel.remote in other.encaps), None)


def trace(node: str, port: str, source: str, target: str) -> tuple[str, ...]:
    """A command that lets OVN say what it does to a ping from a logical port of *node* to an address: ovn-trace(8).

    It prints the path as the southbound database has it; what the switch and the wire do is another matter.
    """
    return ("sh", "-c", _TRACE, "sh", node, port, source, target)


_TRACE = r"""
dst=$(ovn-nbctl --no-leader-only get Logical_Router_Port "rtos-$1" mac | tr -d '"')
src=$(ovn-nbctl --no-leader-only get Logical_Switch_Port "$2" addresses | tr -d '[]"' | cut -d' ' -f1)
at="inport == \"$2\" && eth.src == $src && eth.dst == $dst"
ping="ip4.src == $3 && ip4.dst == $4 && ip.ttl == 64 && icmp4.type == 8"
exec ovn-trace --no-leader-only --minimal "$1" "$at && $ping"
"""


def read_zone(node: str, text: str) -> ZoneState:
    """The output of :data:`ARGV`. Raises ValueError when a table that was asked for is none."""
    parts = {one.partition("\n")[0]: one.partition("\n")[2] for one in text.split(MARK)[1:]}
    if missing := [name for name in _PARTS if name not in parts]:
        raise ValueError(f"nothing of {', '.join(missing)}")
    bindings, interfaces = _table(parts["bindings"]), _table(parts["interfaces"])
    plugged = {i["external_ids"]["iface-id"]: i for i in interfaces if "iface-id" in i["external_ids"]}
    counters = {name: (_count(rx), _count(tx)) for name, rx, tx in _PORT.findall(parts["counters"])}
    ends = [i for i in interfaces if i["type"] in ("geneve", "vxlan")]
    return ZoneState(
        node,
        northd=_northd(parts["northd"]),
        controller="" if parts["controller"].strip() == "connected" else _said(parts["controller"]),
        bound={str(row["logical_port"]): bool(row["chassis"]) for row in bindings},
        plugged={port: str(i["name"]) for port, i in plugged.items()},
        installed=frozenset(p for p, i in plugged.items() if i["external_ids"].get("ovn-installed") == "true"),
        snat=tuple(str(row["logical_ip"]) for row in _table(parts["nat"]) if row["type"] == "snat"),
        tunnels=tuple(_tunnel(i, counters) for i in ends),
        encaps=tuple(parts["encap"].strip().strip('"').split(",")),
    )


def _table(text: str) -> list[dict[str, Any]]:
    try:
        table = json.loads(text)
        return [dict(zip(table["headings"], map(ovsdb.value, row), strict=True)) for row in table["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"wanted a table, found {text.strip()[:200]!r}") from error


def _northd(text: str) -> str:
    """One of several is active, and one that stands by is as well as it; a paused one is not."""
    found = _STATUS.search(text)
    if found is None:
        return _said(text)
    return "" if found[1] in ("active", "standby") else f"it is {found[1]}"


def _said(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def _tunnel(row: Mapping[str, Any], counters: Mapping[str, tuple[int, int]]) -> Tunnel:
    # By name where the tool knows names, else by number.
    received, sent = counters.get(str(row["name"])) or counters.get(str(row["ofport"])) or (0, 0)
    return Tunnel(str(row["name"]), str(row["options"].get("remote_ip", "")), received, sent)


def _count(text: str) -> int:
    return whole(text) or 0
