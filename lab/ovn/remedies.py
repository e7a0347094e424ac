"""Commands to copy. virtlab prints them and never runs them; names from input are quoted for a shell.

Deleting by prefix alone would drop the good leg too, and without a policy the src-ip row: every command names one leg.
"""

from __future__ import annotations

import shlex

from lab.ovn.nbdata import ROUTER
from lab.ovn.tables import SELF, Leg
from lab.ovn.topology import NodeInfo
from lab.ovn.zone import Zone


def _exec(zone: Zone, node: str) -> str:
    client, namespace = zone.client or "oc", zone.namespace or "openshift-ovn-kubernetes"
    container = zone.container or "nbdb"
    return f"{client} exec -n {shlex.quote(namespace)} -c {shlex.quote(container)} {_pod(zone, node)} -- ovn-nbctl"


def _pod(zone: Zone, node: str) -> str:
    if zone.pod:
        return shlex.quote(zone.pod)
    return "<ovnkube-master pod that leads>" if zone.central else f"<ovnkube-node pod of {_word(node)}>"


def _word(name: str) -> str:
    return "".join(c for c in name if c.isalnum() or c in "-_.: /")


def delete_leg(zone: Zone, node: str, prefix: str, leg: Leg) -> str:
    """Remove one leg of one prefix in one zone."""
    nexthop = prefix if leg.local else leg.nexthop
    words = [ROUTER, prefix, nexthop] + ([leg.port] if leg.port else [])
    where = " ".join(shlex.quote(word) for word in words)
    return f"{_exec(zone, node)} --if-exists --policy={leg.policy} lr-route-del {where}"


def delete_duplicate(zone: Zone, node: str, prefix: str) -> list[str]:
    """Rows that are alike differ by UUID only."""
    run = _exec(zone, node)
    return [
        f"{run} --columns=_uuid,nexthop,output_port find Logical_Router_Static_Route ip_prefix={shlex.quote(prefix)}",
        f"{run} remove Logical_Router {ROUTER} static_routes <_uuid of the surplus row>",
    ]


def rebuild(zone: Zone, node: str) -> str:
    """Let the zone's controller start again: its sync drops VM routes and makes them from live pods."""
    client, namespace = zone.client or "oc", zone.namespace or "openshift-ovn-kubernetes"
    return f"{client} -n {shlex.quote(namespace)} delete pod {_pod(zone, node)}"


def go_home(vm: str, owner: NodeInfo | None) -> list[str]:
    """What removes every leg in every zone, on versions with the bug too."""
    if owner is None:
        return []
    return [f"# or live-migrate {_word(vm) or 'the VM'} to {_word(owner.label)}: that drops its routes in every zone"]


def find_vm(prefix: str) -> str:
    """Which leg is right follows from where the VM runs."""
    return f"oc get vmi -A -o wide | grep -F {shlex.quote(prefix)}"


__all__ = ["SELF", "delete_duplicate", "delete_leg", "find_vm", "go_home", "rebuild"]
