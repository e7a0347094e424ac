"""A host that should not be there, plugged into an access port of the switch: shared by faults that bring one.

It is an internal port of the switch, in the switch's own namespace, with one address.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Interface

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site


def address_of(text: str) -> IPv4Interface:
    """An IPv4 address, taken for one of a /24 unless it says otherwise. Raises UsageError."""
    try:
        return IPv4Interface(text if "/" in text else f"{text}/24")
    except ValueError as error:
        raise UsageError("wanted an IPv4 address", f"{text!r} ({error})", advice="address=192.168.24.101") from error


async def plug(site: Site, port: str, vlan: int, address: IPv4Interface) -> None:
    """Put the host there. Raises FaultError."""
    await site.switch([
        "ovs-vsctl", "--may-exist", "add-port", BRIDGE, port, f"tag={vlan}", "--", "set", "Interface", port,
        "type=internal",
    ])  # fmt: skip
    await site.switch(["ip", "addr", "replace", str(address), "dev", port])
    await site.switch(["ip", "link", "set", port, "up"])
    said = json.loads(await site.switch(["ip", "-j", "addr", "show", "dev", port]))
    if str(address.ip) not in {entry.get("local") for entry in said[0]["addr_info"]}:
        raise FaultError(f"wanted {address} on {port} of the switch", f"it has {said[0]['addr_info']}")


async def unplug(site: Site, port: str) -> None:
    """Take it away, if it is there. Raises FaultError."""
    await site.switch(["ovs-vsctl", "--if-exists", "del-port", BRIDGE, port])
    if port in (await site.switch(["ovs-vsctl", "list-ports", BRIDGE])).split():
        raise FaultError(f"wanted no port {port} on the switch", "it is still there")
