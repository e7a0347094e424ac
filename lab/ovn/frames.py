"""What a node's Open vSwitch does with the frames of one MAC address: counters, MAC tables, flows in use, a trace.

Reads and never writes, by the tools that OVN-Kubernetes has in its own container: ``ovs-vsctl``, ``ovs-ofctl``,
``ovs-appctl`` (fdb/show, dpctl/dump-flows, ofproto/trace; ovs-vswitchd(8)), and ``ovn-sbctl lflow-list`` to say which
stage of OVN a flow is (its cookie begins the row's UUID, ovn-architecture(7)). Counters are per port and count
everybody; the MAC tables and the flows know whose frames they are.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lab.core.numerals import whole
from lab.ovn import switch
from lab.ovn.ovsdb import value
from lab.ovn.switch import NodeSwitch, SwitchPort, read_switch

MARK = "== virtlab =="
INTEGRATION = "br-int"
BROADCAST = "ff:ff:ff:ff:ff:ff"

LOOK = (
    "sh",
    "-c",
    f"""{shlex.join(switch.ARGV)} || exit 1
for b in $(ovs-vsctl list-br); do echo "{MARK} $b"; ovs-ofctl dump-ports "$b"; ovs-appctl -T 5 fdb/show "$b"; done
true""",
)
"""The four tables of the switch, then per bridge its ports' counters and its MAC table."""

_SAMPLE = """for n in 1 2 3 4; do
  ovs-appctl -T 5 dpctl/dump-flows -m 2>&1 | grep -i -e "$1" -e '^ovs-appctl:'
  sleep 0.4
done
true"""
FRESH_S = 2.0
"""A flow stays for ten seconds after its last packet; one of an earlier check says nothing."""

_TRACE = f"""said=$(ovs-appctl -T 5 ofproto/trace {INTEGRATION} "$1" 2>&1)
printf '%s\\n' "$said"
echo "{MARK}"
last=$(printf '%s\\n' "$said" | sed '/^Final flow/q' | grep -o 'cookie 0x[0-9a-f]*' | tail -n 1 | cut -d ' ' -f 2)
[ -z "$last" ] || ovn-sbctl --no-leader-only -t 5 lflow-list "$last" 2>&1
echo "{MARK}"
ovn-nbctl --no-leader-only -t 5 --format=json --columns=name,enabled,port_security list Logical_Switch_Port "$2" 2>&1
true"""

_PORT = re.compile(r'port +"?([^":]+)"?: rx pkts=(\d+|\?).*\n +tx pkts=(\d+|\?)')
_LEARNED = re.compile(r"^ *(LOCAL|\d+) +(\d+) +([0-9a-f:]{17}) +(\d+)", re.M)
_LOCAL = 65534
_FRAME = re.compile(r"in_port\(([^)]+)\).*?eth\(src=([0-9a-f:]{17})[^,]*,dst=([0-9a-f:]{17})")
_ARP = "eth_type(0x0806)"
_VLAN = re.compile(r"vlan\(vid=(\d+)")
_USED = re.compile(r"used:([\d.]+)s")
_PACKETS = re.compile(r"packets:(\d+),")
_ACTIONS = re.compile(r"actions:(.*?)(?:, dp-extra-info:.*)?$")
_BRIDGE = re.compile(r'^ *bridge\("([^"]+)"\)', re.M)
_TABLE = re.compile(r"^ *(\d+)\. .*cookie (0x[0-9a-f]+)", re.M)
_STAGE = re.compile(r"table=(\d+) *\((\w+)\s*\), priority=(\d+)\s*, match=\((.*)\), action=\((.*)\)")


@dataclass(frozen=True)
class Learned:
    """One line of a bridge's MAC table: on which OpenFlow port, in which VLAN, how many seconds ago."""

    bridge: str
    number: int
    vlan: int
    mac: str
    age_s: int


@dataclass(frozen=True)
class Looked:
    """One look at a node: its switch, packets by (bridge, port number) as (in, out), who was learned where."""

    switch: NodeSwitch
    counts: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    learned: tuple[Learned, ...] = ()

    def count(self, port: SwitchPort) -> tuple[int, int]:
        """Packets that came in by a port and went out by it, all of its interfaces together."""
        found = [self.counts.get((port.bridge, number), (0, 0)) for number in port.numbers]
        return sum(rx for rx, _ in found), sum(tx for _, tx in found)

    def of(self, port: SwitchPort) -> tuple[Learned, ...]:
        """Who was learned on a port."""
        return tuple(one for one in self.learned if one.bridge == port.bridge and one.number in port.numbers)


@dataclass(frozen=True)
class Flow:
    """One flow of the datapath while packets passed: where frames came in, whose they are, what is done with them.

    ``outputs`` are names of ports; ``packets`` counts those after the first, which made the flow.
    """

    port: str
    source: str
    target: str
    vlan: int
    packets: int
    actions: str

    @property
    def outputs(self) -> tuple[str, ...]:
        words = re.split(r",(?![^(]*\))", self.actions)
        return tuple(word for word in words if "(" not in word and word not in ("drop", "pop_vlan"))

    @property
    def dropped(self) -> bool:
        return self.actions == "drop"


@dataclass(frozen=True)
class Stage:
    """A logical flow of OVN: where in its pipeline, which match."""

    table: int
    name: str
    priority: int
    match: str
    action: str

    def __str__(self) -> str:
        return f"{self.name} (priority {self.priority}: {self.match})"


@dataclass(frozen=True)
class Trace:
    """What the switch says it would do with a frame: whether it drops it, in which bridge, at which stage of OVN."""

    actions: str
    bridge: str = ""
    table: int = -1
    stage: Stage | None = None
    enabled: bool | None = None
    """Of the logical port, in the northbound database; None when it does not say."""
    security: tuple[str, ...] = ()
    """The addresses that it may send from; empty: any."""

    @property
    def dropped(self) -> bool:
        return self.actions == "drop"


def read_look(node: str, text: str) -> Looked:
    """The output of :data:`LOOK`. Raises ValueError as read_switch."""
    tables, *bridges = text.split(MARK)
    counts: dict[tuple[str, int], tuple[int, int]] = {}
    learned: list[Learned] = []
    found = read_switch(node, tables)
    names = {i: n for port in found.ports for i, n in zip(port.interfaces, port.numbers, strict=False)}
    for part in bridges:
        bridge, _, said = part.strip().partition("\n")
        for port, rx, tx in _PORT.findall(said):
            counts[bridge, _number(port.strip(), names)] = (_count(rx), _count(tx))
        for number, vlan, mac, age in _LEARNED.findall(said):
            learned.append(Learned(bridge, _number(number, names), int(vlan), mac, int(age)))
    return Looked(found, counts, tuple(learned))


def _number(word: str, names: Mapping[str, int]) -> int:
    """Newer tools print a port's name where older ones print its number."""
    number = whole(word)
    return number if number is not None else _LOCAL if word == "LOCAL" else names.get(word, -1)


def _count(text: str) -> int:
    return whole(text) or 0


def sample(mac: str) -> tuple[str, ...]:
    """A command that looks four times, 0.4 s apart, which flows have a MAC address."""
    return ("sh", "-c", _SAMPLE, "sh", mac)


def read_flows(text: str, *, arp: bool = True) -> tuple[Flow, ...]:
    """The output of :func:`sample`; of a flow seen several times, the last look. Not *arp*: without those of ARP.

    Raises ValueError with what ovs-appctl says when it cannot tell.
    """
    found: dict[tuple[str, str, str, int, str], Flow] = {}
    for line in text.splitlines():
        if line.startswith("ovs-appctl:"):
            raise ValueError(line)
        frame, packets, actions = _FRAME.search(line), _PACKETS.search(line), _ACTIONS.search(line)
        used = _USED.search(line)
        if not arp and _ARP in line:
            continue
        if frame and packets and actions and not (used and float(used[1]) > FRESH_S):
            vlan = _VLAN.search(line)
            flow = Flow(frame[1], frame[2], frame[3], int(vlan[1]) if vlan else 0, int(packets[1]), actions[1].strip())
            found[flow.port, flow.source, flow.target, flow.vlan, flow.actions] = flow
    return tuple(found.values())


def since(before: Iterable[Flow], after: Iterable[Flow]) -> tuple[Flow, ...]:
    """The flows that packets have met between two samples, with those packets alone: a flow does not say of which
    protocol they were, so that others sent before must not count."""
    known = {replace(flow, packets=0): flow.packets for flow in before}
    found = []
    for flow in after:
        had = known.get(replace(flow, packets=0))
        if had is None or flow.packets < had:
            found.append(flow)
        elif flow.packets > had:
            # As if the first of them had made the flow: that one is not counted by it.
            found.append(replace(flow, packets=flow.packets - had - 1))
    return tuple(found)


PING = "icmp,icmp_type=8"
"""A ping in the words of ovs-fields(7), beside its addresses."""


def echo(number: int, source: tuple[str, str], target: tuple[str, str], packet: str = PING) -> str:
    """A ping, or another IPv4 *packet*, that comes in by a port, from one (MAC, IP) to another; the question for its
    MAC when that is empty."""
    (mac, address), (to, asked) = source, target
    if to:
        mine = f",nw_src={address}" if address else ""
        return f"in_port={number},{packet},dl_src={mac},dl_dst={to}{mine},nw_dst={asked},nw_ttl=64"
    mine = f",arp_spa={address}" if address else ""
    return f"in_port={number},arp,dl_src={mac},dl_dst={BROADCAST},arp_op=1,arp_sha={mac}{mine},arp_tpa={asked}"


def trace(frame: str, logical: str) -> tuple[str, ...]:
    """A command that lets br-int say what it does with a frame (of :func:`echo`) from a logical port."""
    return ("sh", "-c", _TRACE, "sh", frame, logical)


def read_trace(text: str) -> Trace:
    """The output of :func:`trace`. Raises ValueError when there is no verdict in it."""
    said, stage, port = (*text.split(MARK), "", "")[:3]
    verdict = re.search(r"^Datapath actions: (.*)$", said, re.M)
    if verdict is None:
        raise ValueError(f"wanted the verdict of ofproto/trace, found {said.strip()[-200:]!r}")
    way = said.partition("Final flow:")[0]
    tables, bridges = _TABLE.findall(way), _BRIDGE.findall(way)
    row = _row(port)
    return Trace(
        verdict[1].strip(),
        bridges[-1] if bridges else "",
        int(tables[-1][0]) if tables else -1,
        next(_stages(stage), None),
        row.get("enabled") if isinstance(row.get("enabled"), bool) else None,
        tuple(_many(row.get("port_security"))),
    )


def _stages(text: str) -> Iterator[Stage]:
    for table, name, priority, match, action in _STAGE.findall(text):
        yield Stage(int(table), name, int(priority), match, action)


def _row(text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
        return dict(zip(table["headings"], map(value, table["data"][0]), strict=True))
    except (ValueError, KeyError, TypeError, IndexError):
        return {}


def _many(written: Any) -> list[str]:
    return [] if written is None else [str(w) for w in written] if isinstance(written, list) else [str(written)]
