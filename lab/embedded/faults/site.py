"""The lab as a fault sees it: places where a command can be run, nothing else.

A fault breaks a real part with the tools a person would use.  It must never patch a program or fake an
answer, so this is all it is given.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.fabric import switch
from lab.embedded.kube import Kube
from lab.embedded.model.spec import LAGS, TRUNKS, NodeSpec

Runner = Callable[[Sequence[str]], Awaitable[str]]
"""Runs an argument list somewhere and returns what it printed. Raises CommandFailed."""


def nobody() -> Kube:
    """Raises FaultError: a place without an API server."""
    raise FaultError("wanted the API server of this lab", "there is no way to it from here")


@dataclass(frozen=True)
class Site:
    """Where commands run: on the switch, on a node, on an outside host (both by name); and the way to the API server,
    for what a person would break with kubectl."""

    switch: Runner
    node: Callable[[str], Runner]
    outside: Callable[[str], Runner]
    nodes: tuple[str, ...]
    hosts: tuple[str, ...]
    kube: Callable[[], Kube] = nobody


class Fault(Protocol):
    """One way to break a lab; one file each, listed in `catalogue`."""

    name: str
    layer: str
    summary: str
    parameters: Mapping[str, str]
    """Every parameter with its meaning; all are needed."""

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Break it, read back that it is broken, and return what `heal` will need."""
        ...

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        """Mend it, and read back that it is mended."""
        ...


def one_of(what: str, given: str, known: Sequence[str]) -> str:
    """``given`` when it is known. Raises UsageError naming what there is."""
    if given not in known:
        raise UsageError(f"wanted {what} of this lab", repr(given), advice=f"one of {', '.join(known)}")
    return given


def spec(node: str) -> NodeSpec:
    """A worker of the plan by its name, which ends in its number."""
    return NodeSpec(node, int(node.rpartition("-")[2]))


async def cable(site: Site, node: str, nic: str) -> str:
    """The switch's port that a NIC is plugged into. Raises UsageError naming the NICs that are."""
    listed = (await site.switch(["ip", "-j", "link", "show", "type", "veth"])).strip()
    first = switch.port(spec(node), "")
    known = [name.removeprefix(first) for name in _names(listed) if name.startswith(first)]
    return switch.port(spec(node), one_of(f"a NIC of {node}", nic, known))


def aggregate(node: str, nic: str) -> str:
    """The switch's name for the LACP aggregate that a NIC is in. Raises UsageError naming the NICs that are in one."""
    for number, pair in enumerate(LAGS):
        if nic in pair:
            return switch.lag(spec(node), number)
    pairs = ", ".join(name for pair in LAGS for name in pair)
    raise UsageError("wanted a NIC that the switch has in an LACP aggregate", repr(nic), advice=f"one of {pairs}")


async def trunks(site: Site, node: str) -> list[str]:
    """The switch's trunk ports to a node, aggregates first. Raises FaultError when it has none."""
    listed = (await site.switch(["ovs-vsctl", "list-ports", switch.BRIDGE])).split()
    worker = spec(node)
    known = [*(switch.lag(worker, pair) for pair in range(len(LAGS))), *(switch.port(worker, nic) for nic in TRUNKS)]
    found = [name for name in listed if name in known]
    if not found:
        raise FaultError(f"wanted the trunks of {node} on the switch", "it has none of that node")
    return found


def gateway(site: Site, arguments: Mapping[str, str]) -> str:
    """The outside host that is the gateway of the VLAN among the arguments. Raises UsageError naming all."""
    gateways = [host for host in site.hosts if host.startswith("gateway-")]
    return one_of("the gateway of a VLAN", f"gateway-{vlan_of(arguments)}", gateways)


def host_port(vlan: int) -> str:
    """The switch's access port that the outside host of a VLAN is plugged into."""
    return f"p.{vlan}"


def _names(links: str) -> list[str]:
    return [str(link["ifname"]) for link in json.loads(links)]


def vlan_of(arguments: Mapping[str, str]) -> int:
    """The VLAN id among the arguments. Raises UsageError."""
    text = arguments["vlan"]
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 4094):
        raise UsageError("wanted a VLAN id from 1 to 4094", repr(text), advice="vlan=2024")
    return int(text)
