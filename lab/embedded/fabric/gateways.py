"""Hosts on the wire that are not part of the cluster: a gateway with DHCP on each network, an outside host.

Each is a network namespace with one interface on the switch, so that a network reaches another only if
somebody routes: nobody does.  They answer pings and leases, and a person can run commands in them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

from lab.embedded.fabric.switch import Switch
from lab.embedded.host import netns
from lab.embedded.host.command import spawn
from lab.embedded.host.link import ip
from lab.embedded.model.spec import (
    API_ADDRESS,
    EXTERNAL_NET,
    EXTERNAL_VLAN,
    MACHINE_GATEWAY,
    MACHINE_HOST,
    MACHINE_NET,
    MACHINE_NIC,
    MACHINE_VLAN,
    LabSpec,
)


@dataclass(frozen=True)
class OutsideHost:
    """A host beside the cluster; ``netns`` is where commands for it run.

    ``reserved``: hardware address -> the address that its DHCP server keeps for it, without a router.
    """

    name: str
    vlan: int
    address: IPv4Interface
    reserved: tuple[tuple[str, str], ...] = ()

    @property
    def netns(self) -> str:
        return netns.path(self.name)

    @property
    def pid_file(self) -> Path:
        """Where the PID of its DHCP server is found."""
        return Path(f"/run/{self.name}.pid")


def hosts(spec: LabSpec) -> dict[str, OutsideHost]:
    """Every outside host of a lab by name."""
    nodes = tuple((node.mac(MACHINE_NIC), node.machine_ip) for node in spec.nodes)
    everyone = (
        OutsideHost("outside", EXTERNAL_VLAN, IPv4Interface(f"{EXTERNAL_NET[1]}/{EXTERNAL_NET.prefixlen}")),
        OutsideHost(MACHINE_HOST, MACHINE_VLAN, MACHINE_GATEWAY, nodes),
        *(OutsideHost(v.host, v.vlan, v.gateway) for v in spec.vlans),
    )
    return {host.name: host for host in everyone}


async def start(switch: Switch, host: OutsideHost) -> None:
    """Make the host, plug it in and let it serve leases .100-.199 of its subnet."""
    await netns.create(host.name)
    await switch.plug_host(f"p.{host.vlan}", host.vlan, host.netns)
    await ip([f"addr add {host.address} dev eth0"], netns=host.netns)
    server = await spawn(dnsmasq(host), netns=host.netns)
    # Written here: dnsmasq writes none when it is no daemon.
    host.pid_file.write_text(f"{server.pid}\n")


def dnsmasq(host: OutsideHost) -> list[str]:
    """The DHCP server's argument list; it keeps leases in the lab's own /run."""
    net = host.address.network
    # The empty option keeps a default route from the nodes: theirs is elsewhere, and left out it would be the server.
    reserved = [f"--dhcp-host={mac},set:reserved,{address}" for mac, address in host.reserved]
    return [
        # --no-daemon: a user namespace with one group refuses the change of group that a daemon makes.
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
        "--pid-file=", f"--dhcp-leasefile=/run/{host.name}.leases", f"--log-facility=/run/{host.name}.log",
        "--interface=eth0", "--bind-interfaces", "--dhcp-authoritative", "--log-dhcp", "--no-ping",
        f"--dhcp-range={net[100]},{net[199]},{net.netmask},1h", f"--dhcp-option=option:router,{host.address.ip}",
        *reserved, *["--dhcp-option=tag:reserved,option:router"] * bool(reserved),
    ]  # fmt: skip


async def machine_network(switch: Switch) -> None:
    """Put the supervisor's own namespace on the machine network: the API server answers there."""
    here = f"/proc/{Path('/proc/self').resolve().name}/ns/net"
    await switch.plug_host("p.api", MACHINE_VLAN, here, "machine0")
    await ip([f"addr add {API_ADDRESS}/{MACHINE_NET.prefixlen} dev machine0"])


async def start_all(switch: Switch, everyone: dict[str, OutsideHost]) -> None:
    """Start all outside hosts but the machine network's, and the API server's place on that network."""
    others = [host for host in everyone.values() if host.name != MACHINE_HOST]
    await asyncio.gather(machine_network(switch), *(start(switch, host) for host in others))
