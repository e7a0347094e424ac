"""Fabric: the switch has a port-channel shut down: no member of it has carrier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.member_down import MemberDown
from lab.embedded.faults.site import aggregate
from lab.embedded.model.spec import LAGS


class PortDown(MemberDown):
    """``shutdown`` on a port-channel."""

    name = "port-down"
    summary = "the switch has the whole aggregate of a NIC shut down"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "a NIC of the aggregate, e.g. enp7s0f0"}

    def nics(self, node: str, arguments: Mapping[str, str]) -> Sequence[str]:
        aggregate(node, arguments["nic"])
        return next(pair for pair in LAGS if arguments["nic"] in pair)
