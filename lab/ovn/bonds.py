"""The bonds of a node as the node itself has them: members, links, LACP, packets. Reading and judging, no changing.

A kernel bond is told by ``ip -d`` (iproute2 ip/iplink_bond.c, iplink_bond_slave.c), a bond of Open vSwitch by
``ovs-appctl`` (bond/show, lacp/show; ovs-vswitchd(8)); the links and counters of both by ``ip -s``. What nmstate
reports is left to others: it says nothing of links and LACP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = "== virtlab =="
SCRIPT = f"""ip -j -d -s link show || exit 1
for what in bond/show lacp/show; do echo "{MARK}"; ovs-appctl "$what" 2>/dev/null; done
true"""
ARGV = ("sh", "-c", SCRIPT)
IN_USE = 0x38
"""Synchronised, collecting and distributing: what a partner's port state has while it uses the link (IEEE 802.1AX)."""
NOBODY = "00:00:00:00:00:00"
LACP_MODES = ("802.3ad", "lacp")


@dataclass(frozen=True)
class Member:
    """One NIC of a bond. ``used``: whether the bond sends on it (an active-backup's spare is not used).

    ``partner`` is the system that LACP has agreed with over it, empty when there is none; ``rx`` and ``tx`` count
    packets since the NIC was made.
    """

    name: str
    link: bool = False
    used: bool = False
    partner: str = ""
    rx: int = 0
    tx: int = 0
    there: bool = True
    """Whether the node has a link of that name."""


@dataclass(frozen=True)
class Bond:
    """A bond of one node; ``lacp`` is whether it speaks LACP at all."""

    node: str
    name: str
    lacp: bool
    members: tuple[Member, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} on {self.node}"

    @property
    def working(self) -> tuple[Member, ...]:
        """Members that can carry packets: with a link, and where LACP is spoken with a partner."""
        return tuple(m for m in self.members if not _trouble(m, self.lacp))

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with each member that cannot carry packets, in words."""
        return tuple(f"{m.name} {why}" for m in self.members if (why := _trouble(m, self.lacp)))

    @property
    def partners(self) -> tuple[str, ...]:
        """The systems that LACP has agreed with; one, when the switch is right."""
        return tuple(sorted({m.partner for m in self.members if m.partner}))


def _trouble(member: Member, lacp: bool) -> str:
    if not member.there:
        return "is not there: the node has no NIC of that name"
    if not member.link:
        return "has no link"
    return "has a link, and LACP has no partner on it" if lacp and not member.partner else ""


@dataclass(frozen=True)
class Links:
    """What one look at a node found: its bonds, and the members of all of them as links."""

    node: str
    bonds: tuple[Bond, ...] = ()
    links: Mapping[str, Member] = field(default_factory=dict)

    def bond(self, name: str, members: Iterable[str]) -> Bond | None:
        """The bond of that name, or the one that has just these members: Open vSwitch may call a port otherwise."""
        wanted = set(members)
        named = [b for b in self.bonds if b.name == name]
        alike = [b for b in self.bonds if wanted and {m.name for m in b.members} == wanted]
        for found in (*named, *alike):
            return Bond(found.node, name, found.lacp, found.members)
        return None


def read_links(node: str, text: str) -> Links:
    """The output of :data:`ARGV`.

    Raises:
        ValueError: it is not the three parts asked for.
    """
    parts = text.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"wanted three parts, found {len(parts)}")
    rows = json.loads(parts[0])
    links = {str(row["ifname"]): _link(row) for row in rows if isinstance(row, dict) and "ifname" in row}
    bonds = [*_kernel_bonds(node, rows, links), *_ovs_bonds(node, parts[1], parts[2], links)]
    return Links(node, tuple(bonds), links)


def _link(row: Mapping[str, Any]) -> Member:
    counts = row.get("stats64") or row.get("stats") or {}
    return Member(
        name=str(row["ifname"]),
        link="LOWER_UP" in (row.get("flags") or ()),
        rx=int((counts.get("rx") or {}).get("packets", 0)),
        tx=int((counts.get("tx") or {}).get("packets", 0)),
    )


def _kernel_bonds(node: str, rows: Sequence[Mapping[str, Any]], links: Mapping[str, Member]) -> list[Bond]:
    found = []
    for row in rows:
        info = row.get("linkinfo") or {}
        if info.get("info_kind") != "bond":
            continue
        data, name = info.get("info_data") or {}, str(row["ifname"])
        slaves = [r for r in rows if r.get("master") == name]
        lacp = data.get("mode") in LACP_MODES
        found.append(Bond(node, name, lacp, tuple(_slave(r, data, lacp, links) for r in slaves)))
    return found


def _slave(row: Mapping[str, Any], bond: Mapping[str, Any], lacp: bool, links: Mapping[str, Member]) -> Member:
    mine, info = links[str(row["ifname"])], (row.get("linkinfo") or {}).get("info_slave_data") or {}
    up = mine.link and str(info.get("mii_status", "")).upper() == "UP"
    partner = ""
    if lacp:
        together = bond.get("ad_info") or {}
        address = str(together.get("partner_mac", NOBODY))
        state = int(info.get("ad_partner_oper_port_state", 0))
        agreed = info.get("ad_aggregator_id") == together.get("aggregator") and state & IN_USE == IN_USE
        partner = address if agreed and address != NOBODY else ""
    used = up and (bool(partner) if lacp else str(info.get("state", "")).upper() == "ACTIVE")
    return Member(mine.name, up, used, partner, mine.rx, mine.tx)


_OVS_BOND = re.compile(r"^---- (?P<name>.+) ----$", re.M)
_OVS_MEMBER = re.compile(r"^(?:member|slave):? (?P<name>[^:\s]+): (?P<state>[\w ]+)$", re.M)
_OVS_PARTNER = re.compile(r"^  partner sys_id: (?P<id>\S+)$", re.M)


def _ovs_bonds(node: str, bond_show: str, lacp_show: str, links: Mapping[str, Member]) -> list[Bond]:
    partners = {name: dict(_partners(text)) for name, text in _sections(lacp_show)}
    found = []
    for name, text in _sections(bond_show):
        lacp = "lacp_status: off" not in text
        backup = "bond_mode: active-backup" in text
        mine = partners.get(name, {})
        members = []
        for match in _OVS_MEMBER.finditer(text):
            nic, own = match["name"], text[match.end() :].split("\n\n", 1)[0]
            link = links.get(nic, Member(nic, there=False))
            chosen = not backup or "active member" in own or "active slave" in own
            used = chosen and match["state"].startswith("enabled")
            partner = mine.get(nic, "") if lacp else ""
            members.append(Member(nic, link.link, used, partner, link.rx, link.tx, link.there))
        found.append(Bond(node, name, lacp, tuple(sorted(members, key=lambda m: m.name))))
    return found


def _sections(text: str) -> list[tuple[str, str]]:
    heads = list(_OVS_BOND.finditer(text))
    ends = [*(h.start() for h in heads[1:]), len(text)]
    return [(head["name"], text[head.end() : end]) for head, end in zip(heads, ends, strict=False)]


def _partners(text: str) -> Iterable[tuple[str, str]]:
    """NIC -> partner, of members whose LACP is ``current attached`` and whose partner is in sync."""
    found = list(_OVS_MEMBER.finditer(text))
    ends = [*(m.start() for m in found[1:]), len(text)]
    for match, end in zip(found, ends, strict=False):
        own = text[match.end() : end]
        partner = _OVS_PARTNER.search(own)
        current = match["state"].split() == ["current", "attached"] and "may_enable: true" in own
        yield match["name"], partner["id"] if partner and current and partner["id"] != NOBODY else ""
