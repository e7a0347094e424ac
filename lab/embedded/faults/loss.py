"""Fabric: all that a VLAN's gateway sends is lost for an exact time, and then no more.

The cut is the kernel's own qdisc `blackhole`, put before the gateway's interface and taken away by one running `tc`, so
that nothing but its two commands and a sleep lie in the time. It ends by itself: healing finds nothing left to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Site, gateway

LONGEST_MS = 20_000
# $1: seconds.
CUT = """
{ echo 'qdisc replace dev eth0 root blackhole'; sleep "$1"; echo 'qdisc show dev eth0'; echo 'qdisc del dev eth0 root'
} | tc -s -batch -
"""
_DROPPED = re.compile(r"qdisc blackhole .*\n.*dropped (\d+)")


class Loss:
    """What the gateway sends is lost for so many milliseconds."""

    name = "loss"
    layer = "fabric"
    summary = "all that the gateway of a VLAN sends is lost for an exact time"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "ms": f"how long, 1 to {LONGEST_MS} milliseconds"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run, seconds = site.outside(gateway(site, arguments)), _ms(arguments) / 1000
        said = await run(["sh", "-c", CUT, "sh", f"{seconds:g}"])
        found = _DROPPED.search(said)
        if found is None:
            raise FaultError(f"wanted loss for {seconds:g} s", f"tc says {said.strip()!r}", advice="tc qdisc show")
        await self._none_left(site, arguments)
        return {"dropped": int(found[1])}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run = site.outside(gateway(site, arguments))
        if "blackhole" in await run(["tc", "qdisc", "show", "dev", "eth0"]):
            await run(["tc", "qdisc", "del", "dev", "eth0", "root"])
        await self._none_left(site, arguments)

    async def _none_left(self, site: Site, arguments: Mapping[str, str]) -> None:
        said = await site.outside(gateway(site, arguments))(["tc", "qdisc", "show", "dev", "eth0"])
        if "blackhole" in said:
            raise FaultError("wanted the loss to be over", f"tc still shows {said.strip()!r}", advice="heal it again")


def _ms(arguments: Mapping[str, str]) -> int:
    text = arguments["ms"]
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LONGEST_MS):
        raise UsageError(f"wanted milliseconds from 1 to {LONGEST_MS}", repr(text), advice="ms=100")
    return int(text)
