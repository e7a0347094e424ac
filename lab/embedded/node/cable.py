"""The veth pair between a pod and its node. What it is plugged into is others' work."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket

from lab.embedded.host import netns as namespaces
from lab.embedded.host.command import CommandFailed, run
from lab.embedded.host.link import ip, tx_checksum_off
from lab.embedded.node.launcher import Attachment


async def lay(netns: str, host: str, attachment: Attachment, *, up: bool = True) -> None:
    """Make the pair, the pod's end called and addressed as the attachment has it; with ``up`` false that end stays
    down: an interface that was up for a moment has already announced its address. Raises CommandFailed."""
    inside = namespaces.path(netns)
    await unplug(host)
    mtu = attachment.mtu
    await ip([f"link add {host} mtu {mtu} type veth peer name {attachment.ifname} mtu {mtu} netns {netns}",
              f"link set {host} up"])  # fmt: skip
    await ip([f"link set {attachment.ifname} address {attachment.mac}{' up' if up else ''}"], netns=inside)
    await asyncio.gather(tx_checksum_off(host), tx_checksum_off(attachment.ifname, inside))


async def unplug(host: str) -> None:
    """Remove the pair by its end on the node; one that is gone is no error."""
    with contextlib.suppress(CommandFailed):
        await run(["ip", "link", "del", host])


def laid(uid: str = "") -> list[str]:
    """The node's ends of the cables that there are: a pod's, or all pods'. Names as `host_port` makes them."""
    prefix = uid.replace("-", "")[:12] or "[0-9a-f]{12}"
    return [name for _, name in socket.if_nameindex() if re.fullmatch(rf"{prefix}_[0-9]+", name)]
