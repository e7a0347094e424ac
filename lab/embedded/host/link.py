"""Links and addresses, through iproute2.

``ip -batch`` makes several changes one process and stops at the first that fails.  It must not keep
state: whoever wants to know asks the kernel again.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
from collections.abc import Sequence
from fcntl import ioctl
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host.command import run
from lab.embedded.host.netns import call_in

SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
ETHTOOL_STSO = 0x1F
ETHTOOL_SGSO = 0x24


async def ip(lines: Sequence[str], *, netns: str | None = None) -> None:
    """Apply iproute2 commands (without the leading ``ip``) in order. Raises CommandFailed."""
    if lines:
        await run(["ip", "-batch", "-"], netns=netns, input=_batch(lines))


async def bridge(lines: Sequence[str]) -> None:
    """Apply commands of iproute2's ``bridge`` (without that word) in order. Raises CommandFailed."""
    if lines:
        await run(["bridge", "-batch", "-"], input=_batch(lines))


def _batch(lines: Sequence[str]) -> bytes:
    """One line, one command. Raises LabError: a word with a line's end in it would begin another one."""
    for line in lines:
        if not line.isprintable():
            raise LabError("wanted one command of iproute2", repr(line))
    return ("\n".join(lines) + "\n").encode()


async def bridge_vlans() -> list[Any]:
    """The VLANs of every port of a Linux bridge, neighbours together."""
    said = (await run(["bridge", "-compressvlans", "-j", "vlan", "show"])).stdout.strip()
    found: list[Any] = json.loads(said) if said else []
    return found


async def bridges_filter() -> bool:
    """Whether Linux bridges of this kernel can filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING).

    Without it the kernel takes the option ``vlan_filtering`` of a new bridge, and shows it as 0; only the others, as
    the protocol, are missing.  So a bridge is made and asked, in a namespace that goes with the command.
    """
    ask = b"link add probe type bridge\nlink show dev probe\n"
    said = (await run(["unshare", "--net", "--", "ip", "-j", "-d", "-batch", "-"], input=ask)).stdout
    return "vlan_protocol" in json.loads(said)[0].get("linkinfo", {}).get("info_data", {})


async def ip_json(args: Sequence[str], *, netns: str | None = None) -> Any:
    """What ``ip -j -d ARGS`` says, parsed."""
    said = (await run(["ip", "-j", "-d", *args], netns=netns)).stdout.strip()
    return json.loads(said) if said else []


def _offload_off(ifname: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM):
            value = _buffer(struct.pack("II", command, 0))
            request = struct.pack("16sQ", ifname.encode(), value[1])
            try:
                ioctl(sock, SIOCETHTOOL, request)
            except OSError as error:
                raise OSError(error.errno, f"turn off transmit offload of {ifname}: {error.strerror}") from error


def _buffer(data: bytes) -> tuple[Any, int]:
    buffer = ctypes.create_string_buffer(data, len(data))
    return buffer, ctypes.addressof(buffer)


async def tx_checksum_off(ifname: str, netns: str | None = None) -> None:
    """Make the kernel compute checksums before a frame leaves ``ifname``.

    The userspace datapath forwards frames as they come: with offload on, ping passes and TCP never does.
    """
    if netns is None:
        _offload_off(ifname)
    else:
        await call_in(netns, lambda: _offload_off(ifname))


async def veth(left: str, left_ns: str, right: str, right_ns: str, *, mtu: int = 1500, mac: str = "") -> None:
    """A cable between two namespaces, up at both ends, with transmit offload off; ``mac`` is the right end's."""
    address = ["address", mac] if mac else []
    await run(["ip", "link", "add", left, "mtu", str(mtu), "type", "veth", "peer", "name", right, *address,
               "mtu", str(mtu), "netns", right_ns], netns=left_ns)  # fmt: skip
    await ip([f"link set {left} up"], netns=left_ns)
    await ip([f"link set {right} up"], netns=right_ns)
    await tx_checksum_off(left, left_ns)
    await tx_checksum_off(right, right_ns)
