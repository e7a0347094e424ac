"""Fabric: a switch port passes only small frames, and larger ones vanish without a word.

No router is involved, so nobody says that they are too long: what is small passes, a session that fills packets hangs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site, cable, one_of

SMALLEST, USUAL = 576, 1500


class MtuSmall:
    """The MTU of the switch's end of a cable, below which the kernel forwards nothing larger."""

    name = "mtu-small"
    layer = "fabric"
    summary = "a switch port passes no packet above a size"
    parameters: Mapping[str, str] = {
        "node": "the worker", "nic": "its NIC, e.g. enp7s0f0", "mtu": f"bytes of IP, {SMALLEST} to {USUAL - 1}",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        mtu, port = _mtu(arguments), await self._port(site, arguments)
        before = await self._read(site, port)
        await self._set(site, port, mtu)
        return {"mtu": before}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._set(site, await self._port(site, arguments), int(saved["mtu"]))

    async def _port(self, site: Site, arguments: Mapping[str, str]) -> str:
        return await cable(site, one_of("a worker", arguments["node"], site.nodes), arguments["nic"])

    async def _set(self, site: Site, port: str, mtu: int) -> None:
        await site.switch(["ip", "link", "set", port, "mtu", str(mtu)])
        if (found := await self._read(site, port)) != mtu:
            raise FaultError(f"wanted an MTU of {mtu} at the switch's port {port}", f"it is {found}")

    async def _read(self, site: Site, port: str) -> int:
        return int(json.loads(await site.switch(["ip", "-j", "link", "show", "dev", port]))[0]["mtu"])


def _mtu(arguments: Mapping[str, str]) -> int:
    text = arguments["mtu"]
    if not (text.isascii() and text.isdigit() and SMALLEST <= int(text) < USUAL):
        raise UsageError(f"wanted an MTU from {SMALLEST} to {USUAL - 1}", repr(text), advice="mtu=1400")
    return int(text)
