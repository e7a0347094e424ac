"""Fabric: what a VLAN's gateway sends waits in a queue for a line that is too slow.

The kernel's own qdisc `tbf`: each answer comes later than the one before while more is sent than the line carries,
and what would wait longer than five seconds, or is larger than the bucket, is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site, gateway


class Delay:
    """A token bucket of two small packets before the gateway's interface."""

    name = "delay"
    layer = "fabric"
    summary = "all that the gateway of a VLAN sends waits for a line of few kbit/s"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "kbit": "what the line carries, 1 to 1000 kbit/s"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        text = arguments["kbit"]
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
            raise UsageError("wanted kbit/s from 1 to 1000", repr(text), advice="kbit=1")
        run = site.outside(gateway(site, arguments))
        shape = ["tbf", "rate", f"{text}kbit", "burst", "256", "latency", "5s"]
        await run(["tc", "qdisc", "replace", "dev", "eth0", "root", *shape])
        if "qdisc tbf" not in (said := await run(["tc", "qdisc", "show", "dev", "eth0"])):
            raise FaultError(f"wanted a line of {text} kbit/s", f"tc says {said.strip()!r}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.outside(gateway(site, arguments))
        if "qdisc tbf" in await run(["tc", "qdisc", "show", "dev", "eth0"]):
            await run(["tc", "qdisc", "del", "dev", "eth0", "root"])
        if "qdisc tbf" in (said := await run(["tc", "qdisc", "show", "dev", "eth0"])):
            raise FaultError("wanted the line as fast as before", f"tc says {said.strip()!r}")
