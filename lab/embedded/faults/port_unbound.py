"""OVN: a VM's logical port is bound nowhere. Its interface is there and up, and no longer says which port it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Runner, Site, one_of

LOOKS, PAUSE_S = 50, 0.1


class PortUnbound:
    """``iface-id`` is taken off the interface, as a restore of Open vSwitch without external_ids does."""

    name = "port-unbound"
    layer = "ovn"
    summary = "a VM's port on the pod network is bound to no node"
    parameters: Mapping[str, str] = {"node": "the worker it runs on", "vm": "the VM, namespace/name"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        run = site.node(node)
        found = await ovnzone.port_of(run, arguments["vm"])
        if not found:
            raise FaultError(
                f"wanted the interface of {arguments['vm']} on the pod network of {node}",
                "Open vSwitch there has none of it",
                advice="does the VM run there, on the pod network?",
            )
        await run(["ovs-vsctl", "remove", "Interface", found["interface"], "external_ids", "iface-id"])
        await self._wait(run, found["port"], bound=False)
        return found

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.node(arguments["node"])
        there = await run(["ovs-vsctl", "--bare", "--columns=name", "find", "Interface", f"name={saved['interface']}"])
        if not there.strip():
            return
        await run(["ovs-vsctl", "set", "Interface", saved["interface"], f"external_ids:iface-id={saved['port']}"])
        await self._wait(run, saved["port"], bound=True)

    async def _wait(self, run: Runner, port: str, *, bound: bool) -> None:
        """Until the southbound database says so. A port that is gone from it is bound by nobody."""
        find = ["ovn-sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port}"]
        for _ in range(LOOKS):
            if bool((await run(find)).strip()) is bound:
                return
            await asyncio.sleep(PAUSE_S)
        raise FaultError(f"wanted the port {port} {'bound' if bound else 'unbound'}", "its Port_Binding says otherwise")
