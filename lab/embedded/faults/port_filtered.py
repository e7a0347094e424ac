"""Fabric: the firewall of an outside host drops, or resets, TCP or UDP of a range of ports. Pings pass.

In both directions, and in the middle of connections: as one that was told of a new rule and forgot what it had let in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.embedded.errors import UsageError
from lab.embedded.faults.node_filter import NodeRule
from lab.embedded.faults.site import Runner, Site, one_of

RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
HOW = {"drop": "drop", "reset": "reject with tcp reset"}


def ports_of(arguments: Mapping[str, str]) -> tuple[int, int]:
    """The range of ports among the arguments. Raises UsageError."""
    found = RANGE.fullmatch(arguments["ports"])
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise UsageError("wanted a range of ports", repr(arguments["ports"]), advice="ports=53-53")
    return first, last


class PortFiltered(NodeRule):
    """The rule at both of the host's hooks: for what it is asked, and for what it asks."""

    name = "port-filtered"
    layer = "fabric"
    summary = "the firewall of an outside host drops or resets a range of TCP or UDP ports"
    parameters: Mapping[str, str] = {
        "host": "the outside host", "proto": "tcp or udp", "ports": "from-to, as 53-53", "how": "drop, or reset (tcp)",
    }  # fmt: skip
    hooks = ("input", "output")

    def place(self, site: Site, arguments: Mapping[str, str]) -> tuple[str, Runner]:
        host = one_of("an outside host", arguments["host"], site.hosts)
        return host, site.outside(host)

    def chain(self, arguments: Mapping[str, str]) -> str:
        return f"{self.name}-{arguments['proto']}-{arguments['ports']}"

    def rule(self, arguments: Mapping[str, str]) -> str:
        first, last = ports_of(arguments)
        proto, how = one_of("a protocol", arguments["proto"], ("tcp", "udp")), one_of("a way", arguments["how"], [*HOW])
        if (proto, how) == ("udp", "reset"):
            raise UsageError("wanted a way for UDP", "'reset', which is TCP's", advice="how=drop")
        return f"{proto} dport {first if first == last else f'{first}-{last}'} {HOW[how]}"
