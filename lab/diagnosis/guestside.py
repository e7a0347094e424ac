"""What a guest and its pod count while the guest pings: one command in the guest, counters in the launcher pod. Pure.

A console has room for one command at a time, so that counting, sending and counting again are one.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass

from lab.diagnosis.localpath import Counts
from lab.ovn.frames import PING
from lab.probes.arp import parse_neighbours
from lab.probes.ping import parse_summary, ping_command, without_n
from lab.probes.services import NAME
from lab.probes.tcp import tcp_command
from lab.probes.toolbox import Toolbox
from lab.probes.udp import udp_command

PINGS, INTERVAL_S = 5, 0.3
MARK = "== virtlab =="
_DEVICE = re.compile(r"^\s*([^\s:]+):\s*(?:\d+\s+)(\d+)(?:\s+\d+){7}\s+(\d+)", re.M)
_LINK = re.compile(r"^\d+: ([^:@\s]+).*link/ether ([0-9a-f:]{17})", re.M)


def read_devices(text: str) -> dict[str, tuple[int, int]]:
    """``/proc/net/dev`` (proc_net_dev(5)): device -> packets received, packets sent."""
    return {name: (int(rx), int(tx)) for name, rx, tx in _DEVICE.findall(text)}


@dataclass(frozen=True)
class Asked:
    """What the guest told while it sent: its NIC's name, counts before and after, and who the address is for it."""

    nic: str
    counts: tuple[Counts, Counts]
    target_mac: str = ""
    received: int | None = None
    """Answers to its pings; None when that cannot be read."""


@dataclass(frozen=True)
class Packets:
    """What a guest sends to a host, of which protocol (icmp, icmp6, tcp, udp), to which port (0: none of its own).

    ``words`` are what sends some of them, as lines of shell; empty: pings.
    """

    proto: str = "icmp"
    port: int = 0
    words: str = ""

    def __str__(self) -> str:
        if self.proto in ("icmp", "icmp6"):
            return "a ping" if self.proto == "icmp" else "IPv6"
        return f"{self.proto.upper()} to port {self.port}" if self.port else self.proto.upper()

    @property
    def frame(self) -> str:
        """One of them for ofproto/trace; empty where there is none (IPv6)."""
        if self.proto == "icmp6":
            return ""
        return PING if self.proto == "icmp" else f"{self.proto},{self.proto}_dst={self.port or DISCARD}"


DISCARD = 33434
"""The first port of a traceroute: nobody listens there."""
PINGED = Packets()


def by_tcp(address: str, port: int) -> Packets:
    """Three attempts to connect."""
    words = shlex.join(tcp_command(address, port, wait_s=1))
    return Packets("tcp", port, f"for n in 1 2 3; do {words} </dev/null; done")


def by_udp(tools: Toolbox, address: str) -> Packets:
    """Three datagrams to ports that nobody uses. Raises ToolMissing."""
    return Packets("udp", 0, shlex.join(udp_command(tools, address)))


def by_dns(server: str) -> Packets:
    """A question, and its repeats as far as they come in so short a time."""
    return Packets("udp", 53, f"timeout 3 nslookup -type=a {NAME} {server}")


def by_ping6(target: str) -> Packets:
    """Pings to a link-local address, with its NIC."""
    return Packets("icmp6", 0, " ".join(without_n(ping_command(target, count=PINGS, interval_s=INTERVAL_S))))


def asking(address: str, sent: Packets = PINGED) -> tuple[str, ...]:
    """A command for the guest: count, send, count, in one go; a console has room for one at a time."""
    words = sent.words or " ".join(without_n(ping_command(address, count=PINGS, interval_s=INTERVAL_S)))
    count, mark = "cat /proc/net/dev", f"echo '{MARK}'"
    text = f'ip -o link; {mark}; {count}; said=$({words} 2>&1); {mark}; {count}; {mark}; ip neigh; {mark}; echo "$said"'
    return ("sh", "-c", text)


def read_asked(text: str, mac: str, address: str) -> Asked:
    """The output of :func:`asking`. Raises ValueError when it is something else, or no NIC has that MAC address."""
    parts = text.split(MARK)
    nics = [name for name, own in _LINK.findall(parts[0]) if own == mac]
    if len(parts) != 5 or not nics:
        raise ValueError(f"wanted a NIC {mac} and its counts, found {text.strip()[-200:]!r}")
    known = [n.mac for n in parse_neighbours(parts[3].strip()) or () if n.ip == address and n.mac]
    summary = parse_summary(parts[4])
    counts = read_devices(parts[1]), read_devices(parts[2])
    return Asked(nics[0], counts, known[0] if known else "", summary[1] if summary else None)


def tap_and_cable(devices: Counts, network: str) -> tuple[str, str]:
    """The tap of a VM's network and the pod's end of its cable (KubeVirt pkg/network/namescheme); empty when unsure.

    *network* is its name in the VM's spec; empty: the pod network.
    """
    if not network:
        return "tap0" if "tap0" in devices else "", "eth0-nic" if "eth0-nic" in devices else ""
    own = hashlib.sha256(network.encode()).hexdigest()[:11]
    if f"tap{own}" in devices:
        return f"tap{own}", f"{own}-nic" if f"{own}-nic" in devices else ""
    others = [name.removeprefix("tap") for name in devices if name.startswith("tap") and name != "tap0"]
    if len(others) != 1:
        return "", ""
    cable = next((n for n in (f"{others[0]}-nic", f"net{others[0]}-nic") if n in devices), "")
    return f"tap{others[0]}", cable
