"""Tells when the node has its address again after it was gone, as ``ip monitor`` reports it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator

from lab.embedded.host.command import spawn


class Regained:
    """A pure reader of ``ip -4 -o monitor address`` lines."""

    def __init__(self, address: str) -> None:
        self._words = f" inet {address}/"
        self._gone = False

    def told(self, line: str) -> bool:
        """Whether this line says that the address is back."""
        if self._words not in f"{line} ":
            return False
        back = self._gone and not line.startswith("Deleted ")
        self._gone = line.startswith("Deleted ")
        return back


async def regained(address: str) -> AsyncGenerator[None, None]:
    """One item each time; until it is closed. Raises CommandFailed."""
    process = await spawn(["ip", "-4", "-o", "monitor", "address"], stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    reader = Regained(address)
    try:
        while line := await process.stdout.readline():
            if reader.told(line.decode(errors="replace").strip()):
                yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
