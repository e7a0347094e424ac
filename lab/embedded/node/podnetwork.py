"""The default pod network of one zone: the objects that OVN-Kubernetes in interconnect mode writes.

Pure: who the nodes are goes in, argument lists for ``ovn-nbctl`` come out, with upstream's names for
routers, switches, ports and routes, since that is what people read in a case.  Two things differ, both
because the datapath is in userspace: the gateway router has an address of its own on the external network
instead of sharing the node's, and remote ports are bound by hand (OVN before 23.09 does not do it).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from lab.embedded.host.ovs import Row
from lab.embedded.model.spec import EXTERNAL_NET, NodeSpec

CLUSTER = IPv4Network("10.128.0.0/14")
HOST_PREFIX = 23
JOIN = IPv4Network("100.64.0.0/16")
TRANSIT = IPv4Network("100.88.0.0/16")
ROUTER = "ovn_cluster_router"
TRANSIT_SWITCH = "transit_switch"
TRANSIT_KEY = 16711683
MTU = 1400
# One MAC for every node's router port: a migrated guest keeps the neighbour entry of its gateway.
GATEWAY_MAC = "0a:58:a9:fe:01:01"
ARP_PROXY = "169.254.1.1"
SUBNETS = "k8s.ovn.org/node-subnets"


def mac_of(address: IPv4Address) -> str:
    """OVN-Kubernetes' rule: ``0a:58`` and the four bytes of the address."""
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x58, *address.packed))


@dataclass(frozen=True)
class Member:
    """A node in the pod network; ``number`` is upstream's node id (0 and 1 are reserved)."""

    name: str
    number: int
    subnet: IPv4Network
    chassis: str
    encap: str

    @property
    def join(self) -> IPv4Address:
        return JOIN[self.number]

    @property
    def transit(self) -> IPv4Address:
        return TRANSIT[self.number]

    @property
    def gateway(self) -> IPv4Interface:
        """The first address of the subnet, on the cluster router."""
        return IPv4Interface(f"{self.subnet[1]}/{self.subnet.prefixlen}")

    @property
    def management(self) -> IPv4Interface:
        """The node's own address in its subnet."""
        return IPv4Interface(f"{self.subnet[2]}/{self.subnet.prefixlen}")

    @property
    def outside(self) -> IPv4Interface:
        """The gateway router's address on the external network: .201 and up, above the leases given there."""
        return IPv4Interface(f"{EXTERNAL_NET[199 + self.number]}/{EXTERNAL_NET.prefixlen}")


def member(node: NodeSpec) -> Member:
    """The part a node of this lab has in the pod network."""
    subnets = CLUSTER.subnets(new_prefix=HOST_PREFIX)
    subnet = next(net for number, net in enumerate(subnets, 1) if number == node.index)
    return Member(node.name, node.index + 1, subnet, node.chassis, str(node.external.ip))


def node_annotations(me: Member) -> dict[str, str]:
    """What ovnkube writes on the Node; each value is JSON in a string."""

    def note(value: object) -> str:
        return json.dumps(value, separators=(",", ":"))

    return {
        SUBNETS: note({"default": [str(me.subnet)]}),
        "k8s.ovn.org/node-transit-switch-port-ifaddr": note({"ipv4": f"{me.transit}/{TRANSIT.prefixlen}"}),
        "k8s.ovn.org/node-gateway-router-lrp-ifaddr": note({"ipv4": f"{me.join}/{JOIN.prefixlen}"}),
        "k8s.ovn.org/node-id": str(me.number),
        "k8s.ovn.org/node-chassis-id": me.chassis,
        "k8s.ovn.org/zone-name": me.name,
        "k8s.ovn.org/network-ids": note({"default": "0"}),
        "k8s.ovn.org/node-encap-ips": note([me.encap]),
        "k8s.ovn.org/node-primary-ifaddr": note({"ipv4": f"{me.encap}/{EXTERNAL_NET.prefixlen}"}),
    }


def from_annotations(name: str, notes: Mapping[str, str]) -> Member | None:
    """The member that a Node's annotations describe, or None while they are not all there."""
    try:
        subnet = json.loads(notes[SUBNETS])["default"]
        first = subnet[0] if isinstance(subnet, list) else subnet
        number = int(notes["k8s.ovn.org/node-id"])
        encap = json.loads(notes["k8s.ovn.org/node-encap-ips"])[0]
        return Member(name, number, IPv4Network(first), notes["k8s.ovn.org/node-chassis-id"], str(encap))
    except (KeyError, ValueError, IndexError, TypeError):
        return None


def _router_port(router: str, port: str, mac: str, network: str, switch: str, peer: str) -> list[str]:
    return [
        "--", "--may-exist", "lrp-add", router, port, mac, network,
        "--", "--may-exist", "lsp-add", switch, peer,
        "--", "lsp-set-type", peer, "router",
        "--", "lsp-set-addresses", peer, "router",
        "--", "set", "Logical_Switch_Port", peer, f"options:router-port={port}",
    ]  # fmt: skip


def own_zone(me: Member) -> list[str]:
    """The zone without its neighbours, as one transaction."""
    join_mac = mac_of(JOIN[1])
    return [
        "--may-exist", "lr-add", ROUTER,
        "--", "set", "Logical_Router", ROUTER, "external_ids:k8s-cluster-router=yes",
        "options:always_learn_from_arp_request=false", "options:mcast_relay=true",
        "--", "--may-exist", "ls-add", "join",
        *_router_port(ROUTER, "rtoj-ovn_cluster_router", join_mac, f"{JOIN[1]}/{JOIN.prefixlen}", "join",
                      "jtor-ovn_cluster_router"),
        "--", "--may-exist", "ls-add", me.name,
        "--", "set", "Logical_Switch", me.name, f"other_config:subnet={me.subnet}",
        f"other_config:exclude_ips={me.subnet[2]}",
        *_router_port(ROUTER, f"rtos-{me.name}", GATEWAY_MAC, str(me.gateway), me.name, f"stor-{me.name}"),
        "--", "lrp-set-gateway-chassis", f"rtos-{me.name}", me.chassis, "1",
        "--", "set", "Logical_Switch_Port", f"stor-{me.name}", f"options:arp_proxy={ARP_PROXY}",
        "--", "--may-exist", "lsp-add", me.name, f"k8s-{me.name}",
        "--", "lsp-set-addresses", f"k8s-{me.name}", f"{mac_of(me.management.ip)} {me.management.ip}",
        "--", "--may-exist", "ls-add", TRANSIT_SWITCH,
        "--", "set", "Logical_Switch", TRANSIT_SWITCH, f"other_config:interconn-ts={TRANSIT_SWITCH}",
        f"other_config:requested-tnl-key={TRANSIT_KEY}",
        *_router_port(ROUTER, f"rtots-{me.name}", mac_of(me.transit), f"{me.transit}/{TRANSIT.prefixlen}",
                      TRANSIT_SWITCH, f"tstor-{me.name}"),
        "--", "set", "Logical_Switch_Port", f"tstor-{me.name}", f"options:requested-tnl-key={me.number}",
        f"external_ids:node={me.name}",
        *_gateway_router(me),
        *_policies(me),
    ]  # fmt: skip


def _gateway_router(me: Member) -> list[str]:
    """From the join switch to br-ex; what leaves has the node's own address."""
    gr, ext = f"GR_{me.name}", f"ext_{me.name}"
    return [
        "--", "--may-exist", "lr-add", gr,
        "--", "set", "Logical_Router", gr, f"options:chassis={me.chassis}", "options:snat-ct-zone=0",
        "options:dynamic_neigh_routers=false", "options:always_learn_from_arp_request=false",
        "options:lb_force_snat_ip=router_ip", "options:mac_binding_age_threshold=300",
        f"external_ids:physical_ip={me.outside.ip}", f"external_ids:physical_ips={me.outside.ip}",
        *_router_port(gr, f"rtoj-{gr}", mac_of(me.join), f"{me.join}/{JOIN.prefixlen}", "join", f"jtor-{gr}"),
        "--", "--may-exist", "ls-add", ext,
        "--", "--may-exist", "lsp-add", ext, f"br-ex_{me.name}",
        "--", "lsp-set-type", f"br-ex_{me.name}", "localnet",
        "--", "lsp-set-addresses", f"br-ex_{me.name}", "unknown",
        "--", "lsp-set-options", f"br-ex_{me.name}", "network_name=physnet",
        *_router_port(gr, f"rtoe-{gr}", mac_of(me.outside.ip), str(me.outside), ext, f"etor-{gr}"),
        "--", "set", "Logical_Switch_Port", f"etor-{gr}", "options:nat-addresses=router",
        "options:exclude-lb-vips-from-garp=true",
        "--", "--may-exist", "lr-nat-add", gr, "snat", str(me.outside.ip), str(CLUSTER),
        "--", "--may-exist", "lr-nat-add", gr, "snat", str(me.outside.ip), str(me.join),
    ]  # fmt: skip


def _policies(me: Member) -> list[str]:
    """Inside the cluster nothing is rerouted; what is for the node itself goes there by its own port."""
    inside = [f"ip4.src == {CLUSTER} && ip4.dst == {network}" for network in (CLUSTER, JOIN)]
    node = f'inport == "rtos-{me.name}" && ip4.dst == {me.encap} /* {me.name} */'
    add = ["--", "--may-exist", "lr-policy-add", ROUTER]
    return [
        *(word for match in inside for word in (*add, "102", match, "allow")),
        *add, "1004", node, "reroute", str(me.management.ip),
    ]  # fmt: skip


@dataclass(frozen=True)
class Route:
    """A static route as ovnkube writes it; ``policy`` empty prints as dst-ip."""

    router: str
    prefix: str
    nexthop: str
    policy: str = ""
    port: str = ""
    ids: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.prefix, self.nexthop, self.policy)

    @property
    def columns(self) -> list[str]:
        """The row's columns as ``create`` and ``set`` take them; what is empty is not named."""
        columns = [f'ip_prefix="{self.prefix}"', f'nexthop="{self.nexthop}"']
        columns += [f"policy={self.policy}"] if self.policy else []
        columns += [f"output_port={self.port}"] if self.port else []
        return columns + [f'external_ids:"{key}"="{value}"' for key, value in self.ids]

    def words(self, reference: str) -> list[str]:
        """``create`` and ``add`` of one transaction: only this form can carry external_ids."""
        return ["--", f"--id=@{reference}", "create", "Logical_Router_Static_Route", *self.columns,
                "--", "add", "Logical_Router", self.router, "static_routes", f"@{reference}"]  # fmt: skip


def is_route(row: Row, route: Route) -> bool:
    """Whether a static route's row is ``route``; of its external_ids only those wanted count."""
    return (
        (row["ip_prefix"], row["nexthop"], _one(row["policy"]), _one(row["output_port"]))
        == (route.prefix, route.nexthop, route.policy, route.port)
        and dict(route.ids).items() <= row["external_ids"].items()
    )  # fmt: skip


def _one(cell: object) -> str:
    """An optional OVSDB column: its value, empty when unset."""
    return cell if isinstance(cell, str) else ""


def routes(me: Member, others: Iterable[Member]) -> list[Route]:
    """Every static route of a healthy zone without migrated VMs."""
    gr = f"GR_{me.name}"
    own = [
        Route(ROUTER, str(me.join), str(me.join)),
        Route(ROUTER, str(me.subnet), str(me.join), "src-ip"),
        Route(gr, str(CLUSTER), str(JOIN[1])),
        Route(gr, "0.0.0.0/0", str(EXTERNAL_NET[1]), "", f"rtoe-{gr}"),
    ]
    return [*own, *(route for other in others for route in routes_to(other))]


def routes_to(other: Member) -> list[Route]:
    """The routes to one other zone: its pods and its gateway router."""
    ids = (("ic-node", other.name),)
    return [Route(ROUTER, str(prefix), str(other.transit), "", "", ids) for prefix in (other.subnet, other.join)]


def remote_port(other: Member) -> list[str]:
    """The transit switch's port of another zone."""
    port = f"tstor-{other.name}"
    return [
        "--may-exist", "lsp-add", TRANSIT_SWITCH, port,
        "--", "lsp-set-type", port, "remote",
        "--", "lsp-set-addresses", port, f"{mac_of(other.transit)} {other.transit}/{TRANSIT.prefixlen}",
        "--", "set", "Logical_Switch_Port", port, f"options:requested-tnl-key={other.number}",
        f"options:requested-chassis={other.chassis}", f"external_ids:node={other.name}",
    ]  # fmt: skip


def pod_entry(me: Member, address: IPv4Address) -> dict[str, Any]:
    """The ``default`` entry of a pod's ``k8s.ovn.org/pod-networks``."""
    cidr = f"{address}/{me.subnet.prefixlen}"
    return {
        "ip_addresses": [cidr],
        "mac_address": mac_of(address),
        "gateway_ips": [str(me.gateway.ip)],
        "routes": [
            {"dest": str(CLUSTER), "nextHop": str(me.gateway.ip)},
            {"dest": str(JOIN), "nextHop": str(me.gateway.ip)},
        ],
        "mtu": MTU,
        "ip_address": cidr,
        "gateway_ip": str(me.gateway.ip),
        "role": "primary",
    }
