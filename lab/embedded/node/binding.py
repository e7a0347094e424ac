"""A guest's way out of its pod: Linux bridge, tap, and for masquerade an address translation and a DHCP server.

As virt-launcher builds it in phase 1 (KubeVirt pkg/network/setup): the pod's interface becomes a port of
an in-pod bridge, under another name and MAC, since the guest takes the pod's MAC.  All of it lives in the
pod's namespace and goes with it; only the DHCP server is a process that must be ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host import netns as namespaces
from lab.embedded.host.command import run, spawn
from lab.embedded.host.link import ip, ip_json
from lab.embedded.node.domain import Nic
from lab.embedded.node.launcher import Launcher
from lab.embedded.node.names import nic_of, stable_mac

log = logging.getLogger(__name__)
Obj = dict[str, Any]
GUEST, GATEWAY, RESERVED_MAC = "10.0.2.2", "10.0.2.1", "02:00:00:00:00:00"
BRIDGE_DHCP = "169.254.75.10"
STARTING_SECONDS = 0.05


def bridge_lines(nic: Nic, seed: str) -> list[str]:
    """iproute2 lines for the bridge binding.

    The pod's interface must not keep the guest's MAC: a bridge takes frames to a port's own MAC for itself.  No
    link-local addresses: the bridge would talk on the guest's wire.
    """
    port, bridge, tap = nic_of(nic.pod_if), nic.bridge, nic.tap
    return [
        f"link set {nic.pod_if} down",
        f"link set {nic.pod_if} name {port} address {stable_mac(seed, port)} addrgenmode none",
        f"link add {bridge} address {stable_mac(seed, bridge)} mtu {nic.mtu} type bridge stp_state 0 mcast_snooping 0",
        f"link set {bridge} addrgenmode none",
        f"tuntap add {tap} mode tap",
        f"link set {tap} mtu {nic.mtu} addrgenmode none",
        f"link set {port} master {bridge}",
        f"link set {tap} master {bridge}",
        *(f"link set {name} up" for name in (port, bridge, tap)),
    ]


def masquerade_lines(nic: Nic) -> list[str]:
    """iproute2 lines for the masquerade binding: a bridge of its own with the guest's gateway on it."""
    return [
        f"link add {nic.bridge} address {RESERVED_MAC} mtu {nic.mtu} type bridge stp_state 0 mcast_snooping 0",
        f"addr add {GATEWAY}/24 dev {nic.bridge}",
        f"tuntap add {nic.tap} mode tap",
        f"link set {nic.tap} mtu {nic.mtu} addrgenmode none master {nic.bridge}",
        f"link set {nic.bridge} up",
        f"link set {nic.tap} up",
    ]


def nft_rules(pod_if: str, ports: Sequence[Obj], local: Sequence[str] = ()) -> str:
    """The pod's translation: all ports go to the guest, or only those that the interface names.

    ``local`` are the pod's own IPv4 addresses: what is dialled from inside the pod goes to the guest too.
    """
    if ports:
        into = "\n".join(
            f"    {str(port.get('protocol') or 'TCP').lower()} dport {int(port['port'])} counter dnat to {GUEST}"
            for port in ports
        )
    else:
        into = f"    counter dnat to {GUEST}"
    return f"""table ip kubevirt {{
  chain KUBEVIRT_PREINBOUND {{
{into}
  }}
  chain KUBEVIRT_POSTINBOUND {{
    ip saddr 127.0.0.1 counter snat to {GATEWAY}
  }}
  chain prerouting {{
    type nat hook prerouting priority -100;
    iifname "{pod_if}" counter jump KUBEVIRT_PREINBOUND
  }}
  chain postrouting {{
    type nat hook postrouting priority 100;
    ip saddr {GUEST} counter masquerade
    oifname "k6t-{pod_if}" counter jump KUBEVIRT_POSTINBOUND
  }}
  chain output {{
    type nat hook output priority -100;
    ip daddr {{ {", ".join(["127.0.0.1", *local])} }} counter jump KUBEVIRT_PREINBOUND
  }}
}}
"""


def dhcp_argv(nic: Nic, leases: Path, address: str, prefix: int, router: str, dns: Sequence[str]) -> list[str]:
    """dnsmasq as the in-pod DHCP server: one guest, one address, for ever."""
    network = f"{address},static,{_mask(prefix)},infinite"
    options = [f"3,{router}"] if router else ["3"]
    options += [f"6,{','.join(dns)}"] if dns else ["6"]
    return [
        # --no-daemon also keeps it from changing its groups, which a user namespace may forbid.
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=0", "--no-ping",
        "--bind-interfaces", f"--interface={nic.bridge}", "--except-interface=lo", "--log-facility=-",
        "--dhcp-authoritative", "--leasefile-ro", f"--dhcp-leasefile={leases}", "--pid-file=",
        f"--dhcp-range={network}", f"--shared-network={nic.bridge},{address}", f"--dhcp-host={nic.mac},{address}",
        *(f"--dhcp-option={option}" for option in [*options, f"26,{nic.mtu}"]),
    ]  # fmt: skip


def _mask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str(bits >> shift & 0xFF) for shift in (24, 16, 8, 0))


class Bindings:
    """The bindings of one guest; built once, and closed with the guest."""

    def __init__(self, launcher: Launcher, folder: Path, interfaces: Sequence[Obj]) -> None:
        self.launcher, self.folder = launcher, folder
        self.interfaces = {interface["name"]: interface for interface in interfaces}
        self._servers: list[asyncio.subprocess.Process] = []

    async def build(self, nics: Sequence[Nic]) -> None:
        """Connect every NIC. Raises LabError (a pod interface is missing) or CommandFailed."""
        present = {link["ifname"] for link in await ip_json(["link", "show"], netns=self.launcher.netns)}
        mtus = {attachment.ifname: attachment.mtu for attachment in self.launcher.attachments}
        for nic in nics:
            if nic.pod_if not in present:
                raise LabError(
                    f"wanted interface {nic.pod_if} of network {nic.name!r} in the pod",
                    f"found {sorted(present)}",
                    where=f"pod {self.launcher.namespace}/{self.launcher.name}",
                )
            nic = replace(nic, mtu=mtus.get(nic.pod_if, nic.mtu))
            if nic.binding == "masquerade":
                await self._masquerade(nic)
            else:
                await self._bridge(nic)

    async def set_link(self, nic: Nic, up: bool) -> None:
        """Plug or pull the cable between the guest's tap and the wire."""
        await ip([f"link set {nic.tap} {'up' if up else 'down'}"], netns=self.launcher.netns)

    async def close(self) -> None:
        """End the DHCP servers."""
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            await server.wait()
        self._servers.clear()

    async def _bridge(self, nic: Nic) -> None:
        given = await self._given(nic)
        await ip([f"addr flush dev {nic.pod_if}"], netns=self.launcher.netns)
        await ip(bridge_lines(nic, self.launcher.uid), netns=self.launcher.netns)
        if given:
            address, prefix, router = given
            await ip([f"addr add {BRIDGE_DHCP}/32 dev {nic.bridge}"], netns=self.launcher.netns)
            await self._serve(dhcp_argv(nic, self.folder / f"{nic.name}.leases", address, prefix, router, _resolvers()))

    async def _given(self, nic: Nic) -> tuple[str, int, str] | None:
        """The IPv4 address that the CNI put on the pod's interface: the guest gets it by DHCP from the pod."""
        for attachment in self.launcher.attachments:
            if attachment.ifname == nic.pod_if and attachment.held:
                for cidr in attachment.addresses:
                    address, _, prefix = cidr.partition("/")
                    if ":" not in address and attachment.gateways is not None:
                        router = next((gateway for gateway in attachment.gateways if ":" not in gateway), "")
                        return address, int(prefix or 32), router
        return None

    async def _masquerade(self, nic: Nic) -> None:
        netns = self.launcher.netns
        await ip(masquerade_lines(nic), netns=netns)
        await namespaces.call_in(netns, lambda: _write("/proc/sys/net/ipv4/ip_forward", "1"))
        ports = self.interfaces.get(nic.name, {}).get("ports") or []
        own = [address for address in self.launcher.addresses(nic.pod_if) if ":" not in address]
        await run(["nft", "-f", "-"], netns=netns, input=nft_rules(nic.pod_if, ports, own).encode())
        await self._serve(dhcp_argv(nic, self.folder / f"{nic.name}.leases", GUEST, 24, GATEWAY, _resolvers()))

    async def _serve(self, argv: Sequence[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "dhcp.log"
        with record.open("ab") as output:
            server = await spawn(argv, netns=self.launcher.netns, stdout=output, stderr=output)
        self._servers.append(server)
        # It does not tell when it serves; a refusal to start comes within milliseconds.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STARTING_SECONDS):
                await server.wait()
            said = record.read_text(errors="replace")[-500:].strip()
            raise LabError("wanted the pod's DHCP server to run", said or f"exit status {server.returncode}")


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)


def _resolvers() -> list[str]:
    """IPv4 name servers of the node, loopback left out: the guest could not reach them."""
    with contextlib.suppress(OSError):
        lines = Path("/etc/resolv.conf").read_text().splitlines()
        found = [line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1]
        return [address for address in found if ":" not in address and not address.startswith("127.")]
    return []
