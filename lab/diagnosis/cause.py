"""From what was seen around a silent check to its cause, in one sentence. Pure: looks at readings, takes none.

The order is that of certainty: what a worker's own switch says, then which other workers are in the same state, by
packets. Residents are the witnesses; a check is never excused by what is found here, only explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorkerView:
    """One worker in one VLAN. ``None`` stands for what could not be seen; ``trouble`` says what else was wrong."""

    node: str
    gateway: bool | None = None
    """Whether its resident got an answer from the gateway."""
    peers: Mapping[str, bool] = field(default_factory=dict)
    """Other worker -> whether its resident answered this one."""
    bridge: str | None = None
    """The bridge that Open vSwitch's own mapping names for the network; empty when there is none."""
    wanted: str = ""
    """The bridge that the policies name; empty when none does."""
    reported: str | None = None
    """The same as nmstate reports it."""
    patch: bool | None = None
    """Whether OVN has made the patch port."""
    dark: tuple[str, ...] = ()
    """Ports that spanning tree holds."""
    uplink: tuple[str, ...] = ()
    """Why the bridge has no uplink."""
    weak: tuple[str, ...] = ()
    """NICs that are lost to a bond which still works without them."""
    counted: str = ""
    """What the NICs below the bridge sent and received while its resident waited for an answer in vain."""
    trouble: str = ""


@dataclass(frozen=True)
class Scope:
    """What the check was about. ``nodes`` are the workers on its path, the VM's own first."""

    segment: str
    localnet: str
    """The network's name in the mappings of OVN; empty when it is a Linux bridge's."""
    gateway: str
    nodes: tuple[str, ...]
    own: str = "the fault is in the VM or its port"
    """What is left to blame when the network passes the VM's worker."""


class Said(str):
    """A sentence that knows the place it blames: a worker ("" for none) and one of :data:`lab.core.facts.PARTS`."""

    node: str
    part: str

    def __new__(cls, text: str, node: str = "", part: str = "") -> Said:
        made = super().__new__(cls, text)
        made.node, made.part = node, part
        return made


def cause(scope: Scope, views: Sequence[WorkerView]) -> str:
    """The cause, naming worker and VLAN (a :class:`Said` where it has a place); the unknown is said to be unknown."""
    by_node = {view.node: view for view in views}
    for node in scope.nodes:
        if (view := by_node.get(node)) and (found := _own(scope, view)):
            return found
    found = _by_packets(scope, by_node)
    text = "; ".join([found, *(hint for node in scope.nodes if node in by_node for hint in by_node[node].weak)])
    return Said(text, found.node, found.part) if isinstance(found, Said) else text


def _own(scope: Scope, view: WorkerView) -> str:
    """What the worker itself says against its network."""
    if view.bridge == "" and scope.localnet:
        reported = f", though nmstate still reports {view.reported}" if view.reported else ""
        return Said(
            f"{view.node} has no OVN bridge mapping for {scope.localnet} ({scope.segment}) in its Open vSwitch"
            f"{reported}: nothing of that network leaves the node",
            view.node,
            "mapping",
        )
    if view.wanted and view.bridge and view.bridge != view.wanted:
        return Said(
            f"{view.node} has {scope.localnet} ({scope.segment}) mapped to {view.bridge} in its Open vSwitch, and the "
            f"policy says {view.wanted}: the network leaves the node by the wrong NIC",
            view.node,
            "mapping",
        )
    if view.uplink:
        return Said("; ".join(view.uplink), view.node, "uplink")
    if view.patch is False:
        said = f"{view.node} maps {scope.localnet} to {view.bridge}, and OVN has made no patch port between them"
        return Said(said, view.node, "patch")
    if view.dark:
        return Said(f"spanning tree on {view.node} does not forward yet: {', '.join(view.dark)}", view.node, "bridge")
    return ""


def _by_packets(scope: Scope, views: Mapping[str, WorkerView]) -> str:
    node = scope.nodes[0]
    answered = sorted(n for n, v in views.items() if v.gateway)
    silent = sorted(n for n, v in views.items() if v.gateway is False)
    if not answered and not silent:
        blind = "; ".join(f"{n}: {v.trouble}" for n, v in views.items() if v.trouble)
        return f"no resident could be asked, so that the cause is unknown ({blind or 'there is none'})"
    for cut in (n for n in scope.nodes if n in silent):
        if answered:
            return _cut(scope, views[cut], answered)
    if not answered:
        return _nobody(scope, views)
    if silent:
        others = f"; {', '.join(silent)} is cut off too, which is not on this path"
        said = f"the resident pod on {node} has an answer: {scope.own}{others}"
        return Said(said, node, "vm")
    return Said(
        f"the resident pod on {node} has an answer from {scope.gateway}, as all others have: "
        f"{scope.segment} passes {node}, {scope.own}",
        node,
        "vm",
    )


def _cut(scope: Scope, view: WorkerView, answered: Sequence[str]) -> Said:
    """The resident on the path has no answer from the gateway, and those on other workers do."""
    either = " either" if view.node == scope.nodes[0] else ""
    own = f"the resident pod on {view.node} has none{either}, {_residents(answered)}"
    if view.peers and all(view.peers.values()):
        # Others may have its MAC address from before: what passes between workers passes the switch.
        return Said(
            f"{own}; yet it reaches those on {', '.join(sorted(view.peers))}, so that {scope.segment} passes "
            f"{view.node}: only the gateway {scope.gateway} is cut off from it",
            part="gateway",
        )
    said = f"{own}: {scope.segment} does not pass between {view.node} and the switch"
    return Said(said + (f" (meanwhile {view.counted})" if view.counted else ""), view.node, "cable")


def _residents(nodes: Sequence[str]) -> str:
    return f"the resident on {nodes[0]} does" if len(nodes) == 1 else f"residents on {', '.join(nodes)} do"


def _nobody(scope: Scope, views: Mapping[str, WorkerView]) -> str:
    """No resident has an answer from the gateway: is it the gateway or the VLAN?"""
    pairs = [(node, peer, ok) for node, view in views.items() for peer, ok in view.peers.items()]
    meet = [p for p in pairs if p[2]]
    if meet and len(meet) == len(pairs):
        return Said(
            f"no resident on {', '.join(sorted(views))} has an answer from {scope.gateway} either, yet they reach each "
            f"other on {scope.segment}: the gateway {scope.gateway} is down or cut off",
            part="gateway",
        )
    if meet:
        apart = sorted({f"{a} and {b}" for a, b, ok in pairs if not ok and a < b})
        return Said(
            f"no resident has an answer from {scope.gateway}, and those on {', '.join(apart)} do not reach each other "
            f"on {scope.segment}",
            part="network",
        )
    return Said(
        f"no resident has an answer from {scope.gateway}, and none reaches another: {scope.segment} does not pass "
        f"between {', '.join(sorted(views))} and the switch",
        part="network",
    )
