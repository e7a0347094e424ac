"""KubeVirt: a VM's tap is out of the bridge of its pod: QEMU sends, and nobody carries it to the pod's NIC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.guest import VM, Guest, existing, find
from lab.embedded.faults.site import Site


class TapUnplugged:
    """The first tap in the pod's network."""

    name = "tap-unplugged"
    layer = "kubevirt"
    summary = "a VM's tap is out of the bridge of its pod"
    parameters: Mapping[str, str] = VM

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        guest = await existing(site, arguments)
        taps = {
            name: master for name, master in (await self._links(guest)).items() if name.startswith("tap") and master
        }
        if not taps:
            raise FaultError(f"wanted a tap of {arguments['vm']} on a bridge of its pod", "there is none")
        name, master = next(iter(sorted(taps.items())))
        await self._in_pod(guest, "ip", "link", "set", name, "nomaster")
        if (await self._links(guest)).get(name):
            raise FaultError(f"wanted {name} on no bridge", f"it still is on {master}")
        return {"tap": name, "bridge": master, "pid": guest.pid}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        guest = await find(site, arguments["vm"])
        if guest is None or guest.pid != saved["pid"]:
            return
        await self._in_pod(guest, "ip", "link", "set", saved["tap"], "master", saved["bridge"])
        if (found := (await self._links(guest)).get(saved["tap"])) != saved["bridge"]:
            raise FaultError(f"wanted {saved['tap']} on {saved['bridge']}", f"it is on {found or 'none'}")

    async def _links(self, guest: Guest) -> dict[str, str]:
        """Each link of the pod, and the bridge that it is on."""
        said = json.loads(await self._in_pod(guest, "ip", "-j", "link", "show"))
        return {str(link["ifname"]): str(link.get("master", "")) for link in said}

    async def _in_pod(self, guest: Guest, *argv: str) -> str:
        return await guest.run(["nsenter", f"--target={guest.pid}", "--net", "--", *argv])
