"""Node: a VM's port on a Linux bridge is out of it, or does not forward. The pod, its NIC and the bridge are well."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Runner, Site, one_of

MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
HOW = ("unplugged", "disabled")
FORWARDING = "forwarding"


class BridgePortLost:
    """The port on which the bridge has learned the VM's MAC address."""

    name = "bridge-port-lost"
    layer = "node"
    summary = "a VM's port is out of its Linux bridge, or does not forward"
    parameters: Mapping[str, str] = {
        "node": "the worker", "bridge": "its Linux bridge", "mac": "the VM's MAC address", "how": " or ".join(HOW),
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, how = one_of("a worker", arguments["node"], site.nodes), one_of("a way", arguments["how"], HOW)
        run, bridge = site.node(node), arguments["bridge"]
        port = await self._port(run, node, arguments)
        if how == "unplugged":
            await run(["ip", "link", "set", port, "nomaster"])
        else:
            await run(["bridge", "link", "set", "dev", port, "state", "0"])
        if await self._forwards(run, bridge, port):
            raise FaultError(f"wanted {port} {how} on {node}", f"it is a port of {bridge} and forwards")
        return {"port": port}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, bridge, port = site.node(arguments["node"]), arguments["bridge"], str(saved["port"])
        if port not in {str(link["ifname"]) for link in json.loads(await run(["ip", "-j", "link", "show"]))}:
            return
        await run(["ip", "link", "set", port, "master", bridge])
        await run(["bridge", "link", "set", "dev", port, "state", "3"])
        if not await self._forwards(run, bridge, port):
            raise FaultError(f"wanted {port} back on {bridge} of {arguments['node']}", "it does not forward")

    async def _port(self, run: Runner, node: str, arguments: Mapping[str, str]) -> str:
        mac = arguments["mac"].lower()
        if not MAC.fullmatch(mac):
            raise UsageError("wanted a MAC address", repr(mac), advice="mac=02:00:00:52:01:10")
        learned = json.loads(await run(["bridge", "-j", "fdb", "show", "br", arguments["bridge"]]))
        for entry in learned:
            if entry.get("mac") == mac and entry.get("state", "") == "" and "ifname" in entry:
                return str(entry["ifname"])
        raise FaultError(
            f"wanted the port of {mac} on {arguments['bridge']} of {node}", "the bridge has not learned it",
            advice="has the VM said anything in the last 300 s?",
        )  # fmt: skip

    async def _forwards(self, run: Runner, bridge: str, port: str) -> bool:
        links = json.loads(await run(["ip", "-j", "-d", "link", "show", "dev", port]))
        info = (links[0].get("linkinfo") or {}).get("info_slave_data") or {}
        return links[0].get("master") == bridge and info.get("state") == FORWARDING
