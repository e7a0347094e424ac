"""The links of a node that a scenario must not touch: its own network hangs on them, or the target keeps them.

The target names them. This room refuses; it must not change a policy so that it would pass.
"""

from __future__ import annotations

from lab.access.kinds import Obj
from lab.core.errors import UsageError
from lab.nmstate import manifest as policies
from lab.target.inventory import Target

OWN_MAPPING = "physnet"
"""OVN-Kubernetes' name of the network behind br-ex (go-controller/pkg/types/const.go, PhysicalNetworkName). A further
localnet on that bridge leaves it as it is: OVN adds a port of its own."""


def leave_alone(policy: Obj, target: Target, *, disruptive: bool = False) -> None:
    """Refuse a policy that touches what it must not, before anything is made. Raises UsageError.

    *disruptive* is the scenario's tag; it counts only where the target allows disruptive scenarios.
    """
    disruptive = disruptive and target.allow_disruptive
    own = policies.made(policy)
    reasons = {
        name: reason
        for name in sorted(policies.touched(policy))
        # What a policy makes is no NIC of the target's lists, unless it takes the name of one.
        if (reason := target.nics.refusal(name, disruptive=disruptive)) and not (name in own and "allowed" in reason)
    }
    name = policy["metadata"]["name"]
    if reasons:
        raise UsageError(
            f"the policy {name} to leave the nodes' own network alone",
            "; ".join(f"it names {link}, {reason}" for link, reason in reasons.items()),
            str(target.source),
            "correct nics.bonds and nics.bridges, or nics.primary, protected, allowed and denied, there",
        )
    if OWN_MAPPING in {str(m.get("localnet")) for m in policies.every_mapping(policy)}:
        raise UsageError(
            f"the policy {name} to leave the mapping of the cluster's own network alone",
            f"it sets {OWN_MAPPING}, by which every node reaches the outside",
            advice="choose another name for the localnet; its bridge may be the same",
        )
    if (routes := policies.default_routes(policy)) and not disruptive:
        raise UsageError(
            f"the policy {name} to leave the nodes' default routes alone",
            f"it sets {', '.join(routes)}",
            str(target.source),
            "tag the scenario @disruptive, and say allow-disruptive: true in the target file",
        )


def main_interface(target: Target, bridge: str, node: str, *, disruptive: bool) -> str:
    """The one NIC that the target puts under a Linux bridge on a node. Raises UsageError: none, or it is protected."""
    nics = target.nics.ports(bridge, "linux-bridge", node)
    if len(nics) != 1:
        raise UsageError(
            f"one NIC under {bridge} on {node}",
            f"the target names {', '.join(nics) or 'none'}",
            str(target.source),
            f"name it in nics.bridges.{bridge}",
        )
    if reason := target.nics.refusal(nics[0], disruptive=disruptive and target.allow_disruptive):
        raise UsageError(
            f"{nics[0]} of {node} for {bridge}",
            f"it is one {reason}",
            str(target.source),
            "tag the scenario @disruptive, and say allow-disruptive: true in the target file",
        )
    return nics[0]
