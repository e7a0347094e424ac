"""Node: its firewall lets no TCP connections to a range of ports in from other machines.

With the ports that live migration uses: everything is green until a VM is to move there, and then the other side waits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.embedded.errors import UsageError
from lab.embedded.faults.node_filter import NodeRule
from lab.embedded.model.spec import MACHINE_NIC

PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
MIGRATION = "32768-60999"
"""The kernel's own choice for a listener without a number (ip_local_port_range): a guest is received on one."""


class FirewallDrops(NodeRule):
    """New connections to the ports get no answer."""

    name = "firewall-drops"
    layer = "node"
    summary = "a node's firewall drops new TCP connections to a range of its ports"
    parameters: Mapping[str, str] = {"node": "the worker", "ports": f"from-to, e.g. {MIGRATION} for live migration"}

    def rule(self, arguments: Mapping[str, str]) -> str:
        found = PORTS.fullmatch(arguments["ports"])
        if not found or not 1 <= int(found[1]) < int(found[2]) <= 65535:
            raise UsageError("wanted a range of ports", repr(arguments["ports"]), advice=f"ports={MIGRATION}")
        return new(arguments["ports"], "drop")


def new(ports: str, verdict: str) -> str:
    """A rule about new connections from other machines."""
    return f'iifname "{MACHINE_NIC}" tcp dport {ports} tcp flags syn / syn,ack {verdict}'
