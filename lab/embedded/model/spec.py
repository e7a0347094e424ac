"""What a lab is made of: plain data, nothing that acts.

The default plan is the one drawn in the design: workers with a machine NIC, an external NIC, two pairs of
NICs that the top-of-rack switch aggregates and one pair that it does not, and a gateway host on each VLAN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal

from lab.embedded.errors import LabError, UsageError
from lab.embedded.model.releases import (
    KUBEVIRT,
    NEWEST,
    KubevirtRelease,
    NmstateRelease,
    kubevirt_release,
    nmstate_release,
)

Level = Literal["privileged", "baseline", "restricted"]
"""The Pod Security Standards, from the laxest on."""
MACHINE_NET = IPv4Network("192.168.52.0/24")
EXTERNAL_NET = IPv4Network("192.168.53.0/24")
MACHINE_VLAN, EXTERNAL_VLAN = 52, 53
API_ADDRESS = "192.168.52.1"
API_PORT = 6443
MACHINE_GATEWAY = IPv4Interface(f"{MACHINE_NET[254]}/{MACHINE_NET.prefixlen}")
MACHINE_HOST, MACHINE_NIC = "machine", "ens3"
AGENT_PORT = 10250
LAGS = (("enp6s0f0", "enp6s0f1"), ("enp7s0f0", "enp7s0f1"))
"""Pairs that the switch takes as an LACP aggregate each."""
TRUNKS = ("enp8s0f0", "enp8s0f1")
"""NICs on trunk ports of their own: what a bond without LACP (active-backup) needs of a switch."""
MOST_WORKERS = 9
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True)
class NodeSpec:
    """A worker; ``index`` counts from 1 and fixes its addresses."""

    name: str
    index: int

    @property
    def machine(self) -> IPv4Interface:
        return IPv4Interface(f"{MACHINE_NET[10 + self.index]}/{MACHINE_NET.prefixlen}")

    @property
    def machine_ip(self) -> str:
        return str(self.machine.ip)

    @property
    def external(self) -> IPv4Interface:
        return IPv4Interface(f"{EXTERNAL_NET[10 + self.index]}/{EXTERNAL_NET.prefixlen}")

    @property
    def nics(self) -> tuple[str, ...]:
        return (MACHINE_NIC, "enp1s0", *(nic for lag in LAGS for nic in lag), *TRUNKS)

    def mac(self, nic: str) -> str:
        """The NIC's address: the same in every lab, and below what the kernel gives to a pod's veth.

        A Linux bridge takes the lowest address of its ports, so one over this NIC keeps it whatever joins.
        """
        return f"02:00:00:a8:{0x34 + self.nics.index(nic):02x}:{10 + self.index:02x}"

    @property
    def chassis(self) -> str:
        return f"00000000-0000-4000-8000-{self.index:012d}"


@dataclass(frozen=True)
class VlanSpec:
    """A VLAN of the switch with its gateway host."""

    vlan: int
    gateway: IPv4Interface

    @property
    def host(self) -> str:
        return f"gateway-{self.vlan}"


@dataclass(frozen=True)
class LabSpec:
    """A whole lab."""

    name: str = "virtlab"
    workers: int = 3
    nmstate: str = NEWEST
    """The release of kubernetes-nmstate that the lab plays, e.g. ``0.86``."""
    kubevirt: str = KUBEVIRT
    """The release of KubeVirt that it plays, e.g. ``1.8``."""
    pod_security: Level = "privileged"
    """The Pod Security Standard that namespaces enforce which name none."""
    vlans: tuple[VlanSpec, ...] = field(
        default=(
            VlanSpec(2024, IPv4Interface("192.168.24.1/24")),
            VlanSpec(1993, IPv4Interface("192.168.93.1/24")),
        )
    )

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(
                "wanted a lab name of 1-20 lower-case letters, digits and dashes, no dash at either end",
                repr(self.name),
                where="--name or $VIRTLAB_NAME",
                advice="--name lab-2",
            )
        nmstate_release(self.nmstate)
        kubevirt_release(self.kubevirt)
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(
                f"wanted 1 to {MOST_WORKERS} workers", str(self.workers), where="--workers", advice="--workers 3"
            )

    @property
    def release(self) -> NmstateRelease:
        return nmstate_release(self.nmstate)

    @property
    def virtualization(self) -> KubevirtRelease:
        return kubevirt_release(self.kubevirt)

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        return tuple(NodeSpec(f"worker-{i}", i) for i in range(1, self.workers + 1))

    def node(self, name: str) -> NodeSpec:
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError("wanted a worker of this lab", f"{name!r}", advice=f"one of {[n.name for n in self.nodes]}")
