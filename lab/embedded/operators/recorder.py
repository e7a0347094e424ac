"""Events, written aside: a controller never waits for one, and says the same thing once a minute at most.

An event is a courtesy to readers: losing one is logged, never an error of the caller.
"""

from __future__ import annotations

import asyncio
import logging
import time

from lab.embedded.kube import Kube, KubeError, Obj
from lab.embedded.operators.names import CONTROLLER
from lab.embedded.operators.objects import key_of, uid_of

REPEAT_SECONDS = 60.0
log = logging.getLogger("virtlab.events")


class Recorder:
    """Events of one component, in the order in which they were noted."""

    def __init__(self, kube: Kube, component: str = CONTROLLER) -> None:
        self._kube = kube
        self._component = component
        self._queue: asyncio.Queue[tuple[Obj, str, str, str]] = asyncio.Queue()
        self._said: dict[tuple[str, str, str], float] = {}

    def normal(self, regarding: Obj, reason: str, message: str) -> None:
        self._note(regarding, "Normal", reason, message)

    def warning(self, regarding: Obj, reason: str, message: str) -> None:
        self._note(regarding, "Warning", reason, message)

    async def run(self) -> None:
        """Write noted events until cancelled."""
        while True:
            regarding, type_, reason, message = await self._queue.get()
            try:
                await self._kube.event(regarding, type_, reason, message, self._component)
            except (KubeError, TimeoutError, OSError) as error:
                log.warning("event %s on %s was lost: %s", reason, key_of(regarding), error)

    def _note(self, regarding: Obj, type_: str, reason: str, message: str) -> None:
        clock, fact = time.monotonic(), (uid_of(regarding), reason, message)
        if clock - self._said.get(fact, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        if len(self._said) > 2000:
            self._said = {key: when for key, when in self._said.items() if clock - when < REPEAT_SECONDS}
        self._said[fact] = clock
        self._queue.put_nowait((regarding, type_, reason, message))
