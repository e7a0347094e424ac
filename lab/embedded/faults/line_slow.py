"""Fabric: a switch port passes few bits a second to a worker, and all packets arrive: a policer, or a bad autosense.

Pings are answered as fast as ever while nothing else is sent; whatever is large takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site, cable, one_of


class LineSlow:
    """The kernel's qdisc `tbf` at the switch's end of a cable."""

    name = "line-slow"
    layer = "fabric"
    summary = "a switch port passes few kbit/s to a worker"
    parameters: Mapping[str, str] = {
        "node": "the worker", "nic": "its NIC, e.g. enp7s0f0", "kbit": "what the line carries, 10 to 100000 kbit/s",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        text = arguments["kbit"]
        if not (text.isascii() and text.isdigit() and 10 <= int(text) <= 100_000):
            raise UsageError("wanted kbit/s from 10 to 100000", repr(text), advice="kbit=200")
        port = await self._port(site, arguments)
        shape = ["tbf", "rate", f"{text}kbit", "burst", "4kb", "latency", "2s"]
        await site.switch(["tc", "qdisc", "replace", "dev", port, "root", *shape])
        if "qdisc tbf" not in (said := await site.switch(["tc", "qdisc", "show", "dev", port])):
            raise FaultError(f"wanted a line of {text} kbit/s at {port}", f"tc says {said.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        port = await self._port(site, arguments)
        if "qdisc tbf" in await site.switch(["tc", "qdisc", "show", "dev", port]):
            await site.switch(["tc", "qdisc", "del", "dev", port, "root"])
        if "qdisc tbf" in (said := await site.switch(["tc", "qdisc", "show", "dev", port])):
            raise FaultError(f"wanted {port} as fast as before", f"tc says {said.strip()!r}")

    async def _port(self, site: Site, arguments: Mapping[str, str]) -> str:
        return await cable(site, one_of("a worker", arguments["node"], site.nodes), arguments["nic"])
