"""What a worker itself says: links, addresses, routes, neighbours, Open vSwitch, LACP, MAC tables, OVN's databases.

One command per worker, since each exec of a large cluster costs; its output is cut into a file per subject. It only
reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed
from lab.ovn.reader import SwitchReader

MARK = "== virtlab evidence: "
SUBJECTS = {
    "ip-link": "ip -d -s link",
    "ip-addr": "ip addr",
    "ip-route": "ip route show table all",
    "ip-neigh": "ip neigh",
    "bridge-fdb": "bridge fdb show",
    "bridge-vlan": "bridge vlan show",
    "nft-ruleset": "nft list ruleset",
    "ovs-vsctl-show": "ovs-vsctl show",
    "ovs-ports": "ovs-vsctl --columns=name,tag,trunks,status,interfaces list Port",
    "ovs-external-ids": "ovs-vsctl get Open_vSwitch . external_ids",
    "ovs-bonds": "ovs-appctl bond/show; ovs-appctl lacp/show",
    "ovs-fdb": 'for b in $(ovs-vsctl list-br); do echo "# $b"; ovs-appctl fdb/show "$b"; done',
    "proc-bonding": 'for f in /proc/net/bonding/*; do [ -e "$f" ] && echo "# $f" && cat "$f"; done; true',
    "ovn-nb-show": "ovn-nbctl --no-leader-only show",
    "ovn-sb-show": "ovn-sbctl --no-leader-only show",
    "ovn-routes": 'for r in $(ovn-nbctl --no-leader-only --bare --columns=name list Logical_Router); do echo "# $r"; '
    'ovn-nbctl --no-leader-only lr-route-list "$r"; done',
}
"""File -> shell words; the order is that of the output."""
DATABASES = {"nb": "unix:/var/run/ovn/ovnnb_db.sock", "sb": "unix:/var/run/ovn/ovnsb_db.sock"}
"""Snapshots that `ovsdb-server` and `virtlab audit routes` read."""


def script() -> str:
    """All subjects in one; a program that is missing or fails says so in its own part."""
    return "\n".join(f"echo '{MARK}{name}'; {{ {words}; }} 2>&1" for name, words in SUBJECTS.items()) + "\ntrue"


def parts(output: str) -> dict[str, str]:
    """The output of :func:`script`, by subject."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            rows = found.setdefault(f"{line.removeprefix(MARK).strip()}.txt", [])
        else:
            rows.append(line)
    return {name: "\n".join(text) + "\n" for name, text in found.items() if any(row.strip() for row in text)}


def read_node(reader: SwitchReader, node: str, deadline: Deadline) -> Mapping[str, str]:
    """File name -> text. Raises as SwitchReader.run; CommandFailed when the shell itself failed."""
    result = reader.run(node, ("sh", "-c", script()), deadline=deadline)
    found = parts(result.stdout)
    if not found:
        raise CommandFailed(result, wanted=f"readings of {node}")
    return found


def read_database(reader: SwitchReader, node: str, role: str, deadline: Deadline) -> str:
    """A snapshot of the OVN database of *node* with that role. Raises as SwitchReader.run, CommandFailed."""
    argv = ("ovsdb-client", "backup", DATABASES[role])
    result = reader.run(node, argv, role=role, deadline=deadline)
    if not result.ok:
        raise CommandFailed(result, wanted=f"a snapshot of OVN's {role} database on {node}")
    return result.stdout
