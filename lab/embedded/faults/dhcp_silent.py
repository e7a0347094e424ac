"""Fabric: a network's DHCP server hangs. It is there, takes every request and answers none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of
from lab.embedded.faults.waiting import comes_true


class DhcpSilent:
    """The server's process is stopped (SIGSTOP), as one that waits for a dead disk is."""

    name = "dhcp-silent"
    layer = "fabric"
    summary = "the DHCP server of a network answers nobody"
    parameters: Mapping[str, str] = {"host": "the outside host that serves it, e.g. machine or gateway-2024"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        host, run, pid = await server_of(site, arguments)
        await run(["busybox", "kill", "-STOP", pid])
        # It stops when it next gets a processor, which is later where many want one.
        if not await comes_true(partial(self._stopped, run, pid)):
            # Nobody heals what was not set, and the signal may still arrive.
            await run(["busybox", "kill", "-CONT", pid])
            raise FaultError(f"wanted the DHCP server of {host} stopped", f"process {pid} goes on")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        host, run, pid = await server_of(site, arguments)
        await run(["busybox", "kill", "-CONT", pid])
        if not await comes_true(partial(self._goes_on, run, pid)):
            raise FaultError(f"wanted the DHCP server of {host} to go on", f"process {pid} is stopped")

    async def _stopped(self, run: Runner, pid: str) -> bool:
        # proc(5): the state is the word behind the program's name, which stands in parentheses.
        said = await run(["cat", f"/proc/{pid}/stat"])
        return said.rpartition(")")[2].split()[0] == "T"

    async def _goes_on(self, run: Runner, pid: str) -> bool:
        return not await self._stopped(run, pid)


async def server_of(site: Site, arguments: Mapping[str, str]) -> tuple[str, Runner, str]:
    """The outside host that a fault names, commands there, and the process of its DHCP server.

    Raises UsageError for a host that is none, FaultError when no server runs there.
    """
    host = one_of("an outside host", arguments["host"], site.hosts)
    run = site.outside(host)
    pid = (await run(["cat", f"/run/{host}.pid"])).strip()
    command = await run(["cat", f"/proc/{pid}/cmdline"]) if pid.isdigit() else ""
    if not command.startswith("dnsmasq\0"):
        raise FaultError(f"wanted the DHCP server of {host}", f"/run/{host}.pid says {pid!r}, which is none")
    return host, run, pid
