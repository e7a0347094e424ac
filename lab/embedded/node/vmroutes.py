"""What a zone needs for a virtual machine that takes its pod address along: who it is, where it is, routes, DHCP, ARP.

Pure, after OVN-Kubernetes' go-controller/pkg/kubevirt (pod.go, router.go, dhcp.go, switch.go): pods and database rows
go in, words of one ``ovn-nbctl`` transaction come out.  Every zone decides for itself, from the pods alone; nothing
here may know what another zone has in its database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.embedded.host.ovs import Row
from lab.embedded.kube import Obj
from lab.embedded.node import podnetwork as net
from lab.embedded.node.podnetwork import Member, Route, is_route

ALLOW_BRIDGE = "kubevirt.io/allow-pod-bridge-network-live-migration"
TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
DOMAIN, NODE_NAME = "kubevirt.io/domain", "kubevirt.io/nodeName"
ENDED = ("Succeeded", "Failed")
DST, SRC = "dst-ip", "src-ip"
LOCAL, REMOTE = "local", "remote"
ZONE_ID, VM_ID, NAMESPACE_ID = (f"k8s.ovn.org/{key}" for key in ("zone", "vm", "namespace"))
OWNER_NAME, OWNER_CIDR = "k8s.ovn.org/name", "k8s.ovn.org/cidr"
LEASE_SECONDS = 3500
REPLACES_SAME_NEXTHOP = "OCPBUGS-27215"
BUGS = (REPLACES_SAME_NEXTHOP,)
"""Faults of released OVN-Kubernetes that a zone's controller can have; each is the name of its report."""


@dataclass(frozen=True)
class Vm:
    """A virtual machine whose address is taken along."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def ids(self, zone: str) -> tuple[tuple[str, str], ...]:
        """The external_ids of its routes; ``zone`` is where it runs, seen from the database they are in."""
        return ((ZONE_ID, zone), (VM_ID, self.name), (NAMESPACE_ID, self.namespace))

    def owns(self, row: Row) -> bool:
        """Whether a route is this VM's; rows that nobody signed are nobody's."""
        ids = row["external_ids"]
        return ZONE_ID in ids and (ids.get(NAMESPACE_ID), ids.get(VM_ID)) == (self.namespace, self.name)


def _notes(pod: Obj) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def vm_of(pod: Obj) -> Vm | None:
    """The VM of a launcher pod that takes its address along; None for every other pod.

    The annotation alone counts, whatever its value and whatever the binding.
    """
    notes, labels = _notes(pod), pod["metadata"].get("labels") or {}
    launcher = labels.get("kubevirt.io") == "virt-launcher" and DOMAIN in notes
    if not launcher or ALLOW_BRIDGE not in notes or pod["spec"].get("hostNetwork"):
        return None
    return Vm(pod["metadata"]["namespace"], notes[DOMAIN])


def ended(pod: Obj) -> bool:
    return pod.get("status", {}).get("phase") in ENDED


def runner(pods: Sequence[Obj]) -> Obj | None:
    """The one of a VM's pods that its traffic is for; None while nobody can say, and then nothing changes.

    Any pod with a newer sibling is stale, also when that sibling has failed.  Times are whole seconds: of two made in
    the same one, the target that is ready counts.
    """
    times = [pod["metadata"]["creationTimestamp"] for pod in pods]
    fresh = [pod for pod in pods if not ended(pod) and pod["metadata"]["creationTimestamp"] == max(times)]
    ready = [pod for pod in fresh if _ready(pod)]
    return max(ready, key=lambda pod: (TARGET_READY in _notes(pod), pod["metadata"]["name"]), default=None)


def _ready(pod: Obj) -> bool:
    node = pod["spec"].get("nodeName")
    here = (pod["metadata"].get("labels") or {}).get(NODE_NAME) == node
    return bool(node) and (here or bool(_notes(pod).get(TARGET_READY)))


# -- routes


def _matching(rows: Sequence[Row], want: Route, *, nexthop: bool) -> list[Row]:
    found = [row for row in rows if (row["ip_prefix"], row["policy"]) == (want.prefix, want.policy)]
    return [row for row in found if not nexthop or row["nexthop"] == want.nexthop]


def _remove(rows: Iterable[Row]) -> list[str]:
    words: list[str] = []
    for row in rows:
        words += ["--", "remove", "Logical_Router", net.ROUTER, "static_routes", row["_uuid"]]
    return words


def _replace(present: Sequence[Row], want: Route, reference: str) -> list[str]:
    """One row left of ``present``, saying what ``want`` says; an output port that it has beyond that stays."""
    if not present:
        return want.words(reference)
    first, *more = present
    words = [] if is_route(first, want) else ["--", "set", "Logical_Router_Static_Route", first["_uuid"], *want.columns]
    return words + _remove(more)


def _way_out(rows: Sequence[Row], here: Member, *, bug: bool) -> list[str]:
    """The route by which addresses of other nodes' subnets leave through this node's gateway; it stays for ever.

    Controllers of the bug's time made it out of the one for the own subnet, since they asked for the next hop only.
    """
    want = Route(net.ROUTER, str(net.CLUSTER), str(here.join), SRC)
    if bug:
        leave = [row for row in rows if row["policy"] == SRC and row["nexthop"] == want.nexthop]
        nets = [row for row in leave if "/" in row["ip_prefix"]]
        return _replace([row for row in nets if IPv4Network(row["ip_prefix"]).subnet_of(net.CLUSTER)], want, "out")
    return _replace(_matching(rows, want, nexthop=False), want, "out")


def settle(
    rows: Sequence[Row], vm: Vm, address: IPv4Address, here: Member, there: Member, bugs: Iterable[str] = ()
) -> list[str]:
    """Words that route a VM which takes its traffic on node ``there``, in the zone of ``here`` with these ``rows``.

    At home, in its own subnet, it needs none.  Elsewhere its node's zone sends it to the node's switch, all others to
    that node's transit address.  With OCPBUGS-27215 only a route with the same next hop is replaced, so that one to
    where the VM was before stays beside it.
    """
    mine = [row for row in rows if vm.owns(row)]
    if address in there.subnet:
        return _remove(mine)
    bug = REPLACES_SAME_NEXTHOP in bugs
    if here.name == there.name:
        want = Route(net.ROUTER, str(address), str(address), DST, f"rtos-{here.name}", vm.ids(LOCAL))
        return _way_out(rows, here, bug=bug) + _replace(_matching(rows, want, nexthop=bug), want, "leg")
    gone = [row for row in mine if row["external_ids"][ZONE_ID] == LOCAL]
    want = Route(net.ROUTER, str(address), str(there.transit), DST, "", vm.ids(REMOTE))
    rest = [row for row in rows if row not in gone]
    return _remove(gone) + _replace(_matching(rest, want, nexthop=bug), want, "leg")


def forget(rows: Sequence[Row], vm: Vm) -> list[str]:
    """Words that remove every route of a VM."""
    return _remove(row for row in rows if vm.owns(row))


def outdated(rows: Sequence[Row], vms: Mapping[Vm, bool]) -> list[str]:
    """Words that remove what is of no use when a controller starts; ``vms`` are those that live: True for one here."""
    gone = []
    for row in rows:
        ids = row["external_ids"]
        if {ZONE_ID, VM_ID, NAMESPACE_ID} <= ids.keys():
            local = vms.get(Vm(ids[NAMESPACE_ID], ids[VM_ID]))
            if local is None or (local and ids[ZONE_ID] != LOCAL):
                gone.append(row)
    return _remove(gone)


# -- DHCP


def dhcp_ids(vm: Vm, subnet: IPv4Network) -> dict[str, str]:
    """The external_ids of a VM's DHCP options."""
    return {
        "k8s.ovn.org/id": f"default-network-controller:VirtualMachine:{vm.key}:{subnet}",
        "k8s.ovn.org/owner-controller": "default-network-controller",
        "k8s.ovn.org/owner-type": "VirtualMachine",
        OWNER_NAME: vm.key,
        OWNER_CIDR: str(subnet),
        ZONE_ID: LOCAL,
    }


def dhcp_words(rows: Sequence[Row], vm: Vm, interface: IPv4Interface, port: str) -> list[str]:
    """Words that let OVN lease ``interface`` to the VM at ``port``: its subnet of old, a gateway that is everywhere."""
    options = {
        "lease_time": str(LEASE_SECONDS),
        "router": net.ARP_PROXY,
        "server_id": net.ARP_PROXY,
        "server_mac": net.GATEWAY_MAC,
        "hostname": json.dumps(vm.name),
        "mtu": str(net.MTU),
    }
    ids = dhcp_ids(vm, interface.network)
    columns = [f'cidr="{interface.network}"', *(f"options:{key}={json.dumps(text)}" for key, text in options.items())]
    columns += [f"external_ids:{json.dumps(key)}={json.dumps(text)}" for key, text in ids.items()]
    known = [row["_uuid"] for row in rows if ids.items() <= row["external_ids"].items()]
    made = ["set", "DHCP_Options", known[0]] if known else ["--id=@dhcp", "create", "DHCP_Options"]
    chosen = known[0] if known else "@dhcp"
    return ["--", *made, *columns, "--", "set", "Logical_Switch_Port", port, f"dhcpv4_options={chosen}"]


def dhcp_gone(rows: Sequence[Row], keys: Iterable[str]) -> list[str]:
    """Words that remove the DHCP options of VMs."""
    words: list[str] = []
    for row in rows:
        if row["external_ids"].get(OWNER_NAME) in set(keys):
            words += ["--", "destroy", "DHCP_Options", row["_uuid"]]
    return words


# -- ARP


def proxied(me: Member, others: Iterable[Member], homes: Mapping[IPv4Address, str], used: Iterable[IPv4Address]) -> str:
    """The ``arp_proxy`` of this node's switch: the addresses that its router answers for.

    Upstream names the whole cluster network, which OVN before 23.06 cannot.  What is asked for on a node's switch and
    not there: VMs of this subnet that are elsewhere, and for VMs of another subnet that are here, whatever is in that.
    ``homes`` has the node of every VM by address, ``used`` every pod's address.
    """
    away = {address for address, node in homes.items() if address in me.subnet and node != me.name}
    here = {address for address, node in homes.items() if address not in me.subnet and node == me.name}
    for other in others:
        if any(address in other.subnet for address in here):
            away |= {other.gateway.ip, other.management.ip}
            away |= {address for address in used if address in other.subnet and address not in here}
    return " ".join([net.ARP_PROXY, *map(str, sorted(away))])
