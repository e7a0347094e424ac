"""KubeVirt: a migration's target port is enabled before the guest runs there, so that OVN calls it out too early.

The switches then send the guest's frames to the target while it is still at the source. Upstream keeps that port
disabled until the migration is at its end; here a process on every node enables each port that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site
from lab.embedded.faults.waiting import comes_true

MARK = "virtlab-port-announced-early"
# ovsdb-client prints a line for each change; its first is the present state.
WATCH = """
ovsdb-client --format=csv monitor unix:/run/ovn/ovnnb_db.sock OVN_Northbound Logical_Switch_Port enabled |
while read -r line; do
  for port in $(ovn-nbctl --bare --columns=name find Logical_Switch_Port enabled=false); do
    ovn-nbctl lsp-set-enabled "$port" enabled
  done
done
"""
START = """
sh -c "$1" "$2" </dev/null >/dev/null 2>&1 &
echo $!
"""


class PortAnnouncedEarly:
    """Watches the northbound database of every zone."""

    name = "port-announced-early"
    layer = "kubevirt"
    summary = "the port of a migration's target is enabled before the guest runs there"
    parameters: Mapping[str, str] = {}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        for node in site.nodes:
            await site.node(node)(["sh", "-c", START, "sh", WATCH, MARK])
            if await self._gone(site, node):
                raise FaultError(f"wanted a process on {node} that enables ports", "there is none")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        for node in site.nodes:
            for pid in await self._watchers(site, node):
                await site.node(node)(["sh", "-c", 'kill "$1" 2>/dev/null || true', "sh", pid])
            if not await comes_true(partial(self._gone, site, node)):
                raise FaultError(f"wanted no process on {node} that enables ports", "it goes on")

    async def _gone(self, site: Site, node: str) -> bool:
        return not await self._watchers(site, node)

    async def _watchers(self, site: Site, node: str) -> list[str]:
        # The whole mark would find this script, too.
        script = r"""
for pid in $(ls /proc | grep '^[0-9]*$'); do
  said=$(tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null)
  case "$said" in "sh -c"*" $1-early "|"ovsdb-client "*" Logical_Switch_Port enabled ") echo "$pid";; esac
done; true
"""
        return (await site.node(node)(["sh", "-c", script, "sh", MARK.removesuffix("-early")])).split()
