"""Waiting out spanning tree on the documented bridge: a network passes a worker only when its patch port forwards.

The port's state is read, since the 30 s begin when OVN makes the port, not when the policy became Available. Where the
nodes' Open vSwitch cannot be read, the time that 802.1D takes is waited, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import ApiDown, LabError
from lab.core.wait import Periodic, Seen, wait_until
from lab.ovn.reader import SwitchReader
from lab.ovn.switch import NodeSwitch, dark

STP_S = 32.0
"""Forward delay twice (802.1D: 15 s listening, 15 s learning), and two seconds for the first hello."""
LIMIT_S = 90.0


def wait_forwarding(
    reader: SwitchReader, nodes: Sequence[str], networks: Mapping[str, str], *, deadline: Deadline | None = None
) -> None:
    """Wait until *networks* (localnet -> network) pass the mapped bridge on every node.

    Raises WaitTimeout naming each port that does not forward, ApiDown.
    """
    deadline = deadline or Deadline.after(LIMIT_S)
    blind = [e for e in _read(reader, nodes, deadline).values() if isinstance(e, LabError)]
    if blind:
        trace.note("spanning tree", f"its state cannot be read ({blind[0].headline}); waiting {STP_S:.0f} s instead")
        _wait_by_time(deadline)
        return
    wait_until(
        f"{', '.join(networks)} on {', '.join(nodes)}",
        "forwarding, past spanning tree's listening and learning",
        lambda: judge(_read(reader, nodes, deadline.sub(20)), networks),
        deadline=deadline,
        changes=Periodic(1.0, "a switch port's spanning tree state is not announced by the API"),
        advice="ovs-vsctl list Port on the node; is the localnet mapped, and a pod of the network there?",
    )


def _read(reader: SwitchReader, nodes: Sequence[str], deadline: Deadline) -> Mapping[str, NodeSwitch | LabError]:
    """As read_all. An API server that answers for no node says nothing about any: that ends the wait."""
    switches = reader.read_all(nodes, deadline=deadline)
    down = [found for found in switches.values() if isinstance(found, ApiDown)]
    if down and len(down) == len(switches):
        raise down[0]
    return switches


def judge(switches: Mapping[str, NodeSwitch | LabError], networks: Mapping[str, str]) -> Seen[None]:
    """What the switches say; pure."""
    reasons = {}
    for node, switch in switches.items():
        found = [switch.headline] if isinstance(switch, LabError) else dark(switch, networks)
        if found:
            reasons[node] = ", ".join(found)
    return Seen("; ".join(f"{n}: {why}" for n, why in reasons.items()) or "forwarding everywhere", not reasons)


def _wait_by_time(deadline: Deadline) -> None:
    waited = Deadline.after(STP_S)
    wait_until(
        "spanning tree",
        f"{STP_S:.0f} s to pass",
        lambda: Seen("the state of its ports cannot be read", waited.expired),
        deadline=deadline,
        changes=Periodic(1.0, "only the clock changes"),
    )
