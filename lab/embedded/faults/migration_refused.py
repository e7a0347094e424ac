"""KubeVirt: a node refuses to receive guests, as one does whose firewall rejects what it does not know."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.firewall_drops import MIGRATION, new
from lab.embedded.faults.node_filter import NodeRule


class MigrationRefused(NodeRule):
    """Who connects in order to send a guest is refused."""

    name = "migration-refused"
    layer = "kubevirt"
    summary = "a node refuses the connections over which guests migrate to it"
    parameters: Mapping[str, str] = {"node": "the worker that guests are to move to"}

    def rule(self, arguments: Mapping[str, str]) -> str:
        return new(MIGRATION, "reject with tcp reset")
