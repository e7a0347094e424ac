"""Node: it runs on, out of everybody's reach: its guests too, which nobody can ask any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.member_down import MemberDown
from lab.embedded.faults.site import spec


class NodeUnreachable(MemberDown):
    """A worker that runs on and is out of everybody's reach."""

    name = "node-unreachable"
    layer = "node"
    summary = "all cables of a worker are cut: it runs, and nobody reaches it"
    parameters: Mapping[str, str] = {"node": "the worker"}

    def nics(self, node: str, arguments: Mapping[str, str]) -> Sequence[str]:
        return spec(node).nics
