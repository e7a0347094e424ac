"""What a guest's agent says of itself over time: asked quickly at first, then ever more rarely.

The port's own open/close events decide when asking makes sense; only a real answer counts as connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.embedded.node import guestnotes
from lab.embedded.node.guestagent import AgentRefused, AgentSilent, GuestAgent, interfaces, os_info, pause

log = logging.getLogger(__name__)
Obj = dict[str, Any]
MISSES = 3


class AgentView:
    """The last answers of one guest's agent; ``changed`` is called when they differ from before."""

    def __init__(self, socket: Path, changed: Callable[[], None]) -> None:
        self.agent = GuestAgent(socket)
        self.connected = False
        self.interfaces: list[Obj] | None = None
        self.os: Obj = {}
        self.notes: list[str] | None = None
        """What the guest could not do of its cloud-init data, once it has said so."""
        self._changed = changed
        self._open = asyncio.Event()
        self._again = asyncio.Event()

    def port(self, is_open: bool) -> None:
        """The guest opened or closed its end of the port."""
        if is_open:
            self._open.set()
            self._again.set()
        else:
            self._open.clear()
            self._lost()

    async def run(self) -> None:
        """Ask until cancelled."""
        count = misses = 0
        while True:
            if not self._open.is_set():
                await self._open.wait()
                count = misses = 0
            self._again.clear()
            try:
                await self._look()
                misses = 0
            except AgentSilent as silent:
                misses += 1
                log.debug("%s", silent)
                if misses >= MISSES:
                    self._lost()
            # QEMU's end takes one client at a time: whoever repairs a guest by hand has it between two looks.
            await self.agent.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause(count)):
                    await self._again.wait()
            count += 1

    async def close(self) -> None:
        await self.agent.close()

    def _lost(self) -> None:
        if self.connected:
            self.connected, self.interfaces, self.os = False, None, {}
            self._changed()

    async def _look(self) -> None:
        seen = interfaces(await self.agent.ask("guest-network-get-interfaces"))
        about = self.os or os_info(await self._maybe("guest-get-osinfo"))
        notes = await guestnotes.fetch(self.agent) if self.notes is None else self.notes
        before = (self.connected, self.interfaces, self.os, self.notes)
        self.connected, self.interfaces, self.os, self.notes = True, seen, about, notes
        if before != (True, seen, about, notes):
            self._changed()

    async def _maybe(self, command: str) -> Any:
        with contextlib.suppress(AgentRefused):
            return await self.agent.ask(command)
        return None

    async def everything(self) -> Obj:
        """The body of the guestosinfo subresource. Raises AgentSilent."""
        info = await self._maybe("guest-info") or {}
        host = await self._maybe("guest-get-host-name") or {}
        zone = await self._maybe("guest-get-timezone") or {}
        frozen = await self._maybe("guest-fsfreeze-status")
        commands = info.get("supported_commands") or []
        found: Obj = {
            "guestAgentVersion": str(info.get("version", ""))[:64],
            "supportedCommands": [{"name": c.get("name"), "enabled": c.get("enabled")} for c in commands],
            "hostname": str(host.get("host-name", ""))[:255],
            "os": os_info(await self._maybe("guest-get-osinfo")),
            "timezone": f"{zone.get('zone', '')}, {zone.get('offset', 0)}",
            "userList": await self.users(),
            "fsInfo": {"disks": await self.filesystems()},
        }
        if frozen:
            found["fsFreezeStatus"] = str(frozen)
        return found

    async def users(self) -> list[Obj]:
        """Items of the userlist subresource."""
        answer = await self._maybe("guest-get-users") or []
        return [
            {"userName": str(u.get("user", "")), "domain": str(u.get("domain", "")), "loginTime": u.get("login-time")}
            for u in answer[:64]
        ]

    async def filesystems(self) -> list[Obj]:
        """Items of the filesystemlist subresource; sizes in bytes."""
        answer = await self._maybe("guest-get-fsinfo") or []
        return [
            {
                "diskName": str(f.get("name", "")),
                "mountPoint": str(f.get("mountpoint", "")),
                "fileSystemType": str(f.get("type", "")),
                "usedBytes": int(f.get("used-bytes") or 0),
                "totalBytes": int(f.get("total-bytes") or 0),
            }
            for f in answer[:64]
        ]
