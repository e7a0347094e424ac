"""The guest agent's side of a virtio-serial port: questions, bounded answers, deadlines.

A guest is hostile: answers are cut at a size, must be JSON of the expected shape, and are plain data for
others to filter.  It must not decide what a missing answer means for the VMI.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.reading import json_of

Obj = dict[str, Any]
ANSWER_BYTES = 1 << 20
ANSWER_SECONDS = 5.0
QUICK = (0.5, 1.0, 2.0, 4.0)
STEADY = (10.0, 20.0, 40.0, 80.0, 120.0)
OS_KEYS = {
    "name": "name", "kernel-release": "kernelRelease", "version": "version", "pretty-name": "prettyName",
    "version-id": "versionId", "kernel-version": "kernelVersion", "machine": "machine", "id": "id",
}  # fmt: skip


class AgentSilent(LabError):
    """The guest agent did not answer, or answered with what is no answer."""


class AgentRefused(LabError):
    """The guest agent answered, with an error: an unknown or disabled command."""


def pause(count: int) -> float:
    """Seconds until the next look after ``count`` looks: quick at first, then doubling from 10 to 120 s."""
    schedule = QUICK + STEADY
    return schedule[min(count, len(schedule) - 1)]


def interfaces(answer: Any) -> list[Obj]:
    """guest-network-get-interfaces reduced to name, mac and plain addresses; anything malformed is left out."""
    found: list[Obj] = []
    for entry in answer if isinstance(answer, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        listed = entry.get("ip-addresses")
        addresses = [
            str(address["ip-address"])[:64]
            for address in (listed if isinstance(listed, list) else [])
            if isinstance(address, dict) and isinstance(address.get("ip-address"), str)
        ]
        mac = entry.get("hardware-address")
        found.append({"name": entry["name"][:64], "mac": str(mac)[:17] if mac else "", "addresses": addresses[:32]})
    return found[:64]


def os_info(answer: Any) -> Obj:
    """guest-get-osinfo under the names of VMI.status.guestOSInfo."""
    if not isinstance(answer, dict):
        return {}
    return {ours: str(answer[theirs])[:256] for theirs, ours in OS_KEYS.items() if answer.get(theirs)}


class GuestAgent:
    """A connection to QEMU's end of the agent's port, kept for the guest's life."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        if self._writer:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def ask(self, command: str, arguments: Obj | None = None, *, timeout: float = ANSWER_SECONDS) -> Any:
        """One command's `return`. Raises AgentRefused, or AgentSilent: then the next call synchronises again."""
        async with self._lock:
            try:
                async with asyncio.timeout(timeout):
                    return await self._ask(command, arguments)
            except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                await self.close()
                cause = str(error) or type(error).__name__
                raise AgentSilent(f"wanted the guest agent to answer {command}", cause) from error

    async def tell(self, command: str, arguments: Obj) -> None:
        """A command that has no answer (guest-shutdown)."""
        with contextlib.suppress(AgentSilent, AgentRefused):
            await self.ask(command, arguments, timeout=0.5)

    async def _ask(self, command: str, arguments: Obj | None) -> Any:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=ANSWER_BYTES)
            await self._synchronise()
        await self._send({"execute": command, **({"arguments": arguments} if arguments else {})})
        answer = await self._answer()
        if "error" in answer:
            raise AgentRefused(f"wanted the guest agent to do {command}", str(answer["error"])[:300])
        return answer.get("return")

    async def _synchronise(self) -> None:
        # 0xFF resets the agent's parser; the delimited answer skips what an earlier client left unread.
        assert self._writer is not None
        assert self._reader is not None
        token = secrets.randbelow(2**31)
        self._writer.write(b"\xff")
        await self._send({"execute": "guest-sync-delimited", "arguments": {"id": token}})
        while True:
            await self._reader.readuntil(b"\xff")
            with contextlib.suppress(ValueError):
                if (await self._answer()).get("return") == token:
                    return

    async def _send(self, message: Obj) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()

    async def _answer(self) -> Obj:
        assert self._reader is not None
        line = await self._reader.readline()
        if not line:
            raise EOFError("the port was closed")
        answer = json_of(line)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")
        return answer
