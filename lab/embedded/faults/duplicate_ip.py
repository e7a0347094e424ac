"""Fabric: a second host in a VLAN has an address that somebody else has already, and answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.faults.impostor import address_of, plug, unplug
from lab.embedded.faults.site import Site, gateway, vlan_of


class DuplicateIp:
    """Both answer ARP requests; whoever answers last is believed."""

    name = "duplicate-ip"
    layer = "fabric"
    summary = "a second host of a VLAN has an address that is taken"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "address": "the address, e.g. the gateway's or a VM's"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        gateway(site, arguments)
        vlan = vlan_of(arguments)
        await plug(site, f"dup.{vlan}", vlan, address_of(arguments["address"]))
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await unplug(site, f"dup.{vlan_of(arguments)}")
