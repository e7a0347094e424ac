"""What to look at first, by the place that a cause blames: one line to copy or to hand on. Advice, no judgement."""

from __future__ import annotations

LEADS = {
    "vm": "in the guest: ip addr; ip route; ip neigh. The port: kubectl describe vmi; ovn-nbctl show on {node}",
    "tap": "the launcher pod on {node}: kubectl exec -c compute -- cat /proc/net/dev; are tap, bridge and NIC there?",
    "ovn": "on {node}: ovn-nbctl show; ovs-appctl ofproto/trace br-int; ovn-sbctl lflow-list: path.txt has the stage",
    "mapping": "on {node}: ovs-vsctl get Open_vSwitch . external_ids:ovn-bridge-mappings; kubectl get nnce",
    "patch": "on {node}: ovs-vsctl show; the log of ovn-controller",
    "bridge": "on {node}: ovs-vsctl list Port (status:stp_state), or bridge -d link; ports listen and learn for 30 s",
    "uplink": "on {node}: ip link; ovs-vsctl show; kubectl get nns {node} -o yaml",
    "cable": "the switch ports of {node}: is {segment} allowed on its trunk, do bond and LACP agree on both sides?",
    "network": "the switch: is {segment} there at all, and allowed on every worker's trunk?",
    "gateway": "the gateway of {segment}: is it up, and on that network?",
}
"""By `part` (lab.core.facts.PARTS)."""


def lead(found: str, segment: str) -> str:
    """The first lead for a cause; empty for one that names no place."""
    text = LEADS.get(getattr(found, "part", ""), "")
    return text.format(node=getattr(found, "node", "") or "the worker", segment=segment)
