"""Somebody else who answers what an outside host is asked: shared by faults that bring one.

The host's own packet filter sends the questions on to a server of ours beside it, as a portal that wants a login does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.port_filtered import ports_of
from lab.embedded.faults.site import Runner, Site, gateway
from lab.embedded.faults.waiting import comes_true

START = """
"$@" </dev/null >/dev/null 2>&1 &
echo $!
"""
COMMAND = 'tr "\\0" " " <"/proc/$1/cmdline" 2>/dev/null || true'
END = 'kill "$1" 2>/dev/null || true'
LISTENS = 'hex=$(printf ":%04X " "$1"); cat /proc/net/tcp /proc/net/udp | grep -c "$hex" || true'


class Hijacked:
    """A server on ``port``, and a rule that leads there all that goes to a range of ports."""

    name = ""
    layer = "fabric"
    proto = "tcp"
    port = 0
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "ports": "from-to, what is led away"}

    def server(self) -> Sequence[str]:
        """The argv of what answers instead."""
        raise NotImplementedError

    @property
    def table(self) -> str:
        return f"virtlab-{self.name}"

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        host, (first, last) = gateway(site, arguments), ports_of(arguments)
        run = site.outside(host)
        pid = (await run(["sh", "-c", START, "sh", *self.server()])).strip()

        async def listens() -> bool:
            return (await run(["sh", "-c", LISTENS, "sh", str(self.port)])).strip() not in ("", "0")

        if not await comes_true(listens):
            # Nobody heals what was not set.
            await run(["sh", "-c", END, "sh", pid])
            raise FaultError(f"wanted somebody else on port {self.port} of {host}", "nobody listens there")
        await run(["nft", f"add table ip {self.table}"])
        await run(["nft", f"add chain ip {self.table} in {{ type nat hook prerouting priority -100; }}"])
        rule = f"{self.proto} dport {first if first == last else f'{first}-{last}'} redirect to :{self.port}"
        await run(["nft", f"add rule ip {self.table} in {rule}"])
        if rule not in (found := await run(["nft", f"list table ip {self.table}"])):
            raise FaultError(f"wanted the rule `{rule}` on {host}", f"its rules are {found.strip()!r}")
        return {"pid": pid}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        host, pid = gateway(site, arguments), str(saved["pid"])
        run = site.outside(host)
        if self.table in await run(["nft", "list", "tables"]):
            await run(["nft", f"delete table ip {self.table}"])
        if await self._runs(run, pid):
            await run(["sh", "-c", END, "sh", pid])

        async def gone() -> bool:
            return not await self._runs(run, pid)

        if not await comes_true(gone) or self.table in await run(["nft", "list", "tables"]):
            raise FaultError(f"wanted {host} to answer for itself", "somebody else still does")

    async def _runs(self, run: Runner, pid: str) -> bool:
        said = await run(["sh", "-c", COMMAND, "sh", pid])
        return said.startswith(f"{self.server()[0]} ")
