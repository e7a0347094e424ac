"""Fabric: the firewall of a VLAN's gateway refuses SSH. Pings pass, the guest is well, and its console answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, one_of, vlan_of

TABLE = "virtlab-ssh"


class SshRefused:
    """A rule on what leaves the gateway for port 22, answered with a TCP reset."""

    name = "ssh-refused"
    layer = "fabric"
    summary = "the gateway of a VLAN refuses SSH to what is in it"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        host = self._host(site, arguments)
        run = site.outside(host)
        await run(["nft", f"add table inet {TABLE}"])
        await run(["nft", f"add chain inet {TABLE} out {{ type filter hook output priority 0; }}"])
        await run(["nft", f"add rule inet {TABLE} out tcp dport 22 reject with tcp reset"])
        if "reject with tcp reset" not in (found := await run(["nft", f"list table inet {TABLE}"])):
            raise FaultError(f"wanted {host} to refuse SSH", f"its rules are {found.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        host = self._host(site, arguments)
        await site.outside(host)(["nft", f"delete table inet {TABLE}"])
        if TABLE in (found := await site.outside(host)(["nft", "list tables"])):
            raise FaultError(f"wanted {host} without a rule on SSH", f"its tables are {found.strip()!r}")

    def _host(self, site: Site, arguments: Mapping[str, str]) -> str:
        return one_of("the gateway of a VLAN", f"gateway-{vlan_of(arguments)}", site.hosts)
