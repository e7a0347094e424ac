"""Which of a node's own pods their DaemonSet leaves out, as one does with a node whose taint it does not tolerate.

The pod goes and what runs in it stops; both come back with the word.  Names are told in a file, with a signal.  It must
not know what the pods are for.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

FOLDER = Path("/run/virtlab/left-out")
WANTED, TAKEN, PID = FOLDER / "wanted", FOLDER / "taken", FOLDER / "pid"
"""SIGUSR1 to ``PID`` has the names in ``WANTED`` taken in; they stand in ``TAKEN`` when it is so."""


class LeftOut:
    """The names, and who waits for them to change."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._told: list[Callable[[], None]] = []

    def listen(self) -> None:
        """Take the names in from now on."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        WANTED.touch()
        TAKEN.touch()
        PID.write_text(f"{os.getpid()}\n")
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._take, WANTED)

    def _take(self, wanted: Path) -> None:
        self.names = frozenset(wanted.read_text().split())
        self._changed.set()
        self._changed = asyncio.Event()
        for told in self._told:
            told()

    def subscribe(self, told: Callable[[], None]) -> None:
        """Call ``told`` when the names have changed."""
        self._told.append(told)

    def taken(self) -> None:
        """Say that the pods are as the names have it."""
        TAKEN.write_text("".join(f"{name}\n" for name in sorted(self.names)))

    async def minding(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the pod's work while it is there; ends as the work does. Raises what the work raises."""
        while True:
            while name in self.names:
                await self._changed.wait()
            task = asyncio.create_task(work(), name=name)
            try:
                while name not in self.names and not task.done():
                    changed = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                if task.done():
                    return task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
