"""Node: its packet filter drops what arrives over a bridge, as a firewall does with an interface of no zone.

DHCP still works, since its client reads frames before the filter: every status is green.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.embedded.errors import UsageError
from lab.embedded.faults.node_filter import NodeRule

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")


class BridgeFiltered(NodeRule):
    """A rule by the bridge's name, which need not be there yet."""

    name = "bridge-filtered"
    layer = "node"
    summary = "a node drops all packets for itself that arrive over a bridge"
    parameters: Mapping[str, str] = {"node": "the worker", "bridge": "the bridge's name, e.g. br1"}

    def chain(self, arguments: Mapping[str, str]) -> str:
        return arguments["bridge"]

    def rule(self, arguments: Mapping[str, str]) -> str:
        if not NAME.fullmatch(arguments["bridge"]):
            raise UsageError("wanted the name of a bridge", repr(arguments["bridge"]), advice="bridge=br1")
        return f'iifname "{arguments["bridge"]}" drop'
