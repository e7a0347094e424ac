"""The loop every controller runs: events in, keys out, one worker per key.

This room exists so that controllers only say what one object should become. An event never carries work: it names a
key, equal keys merge, and a key that changes while it is worked on is worked on once more. It knows no kind of object
and must not hold state that a restart would lose.

    event -> keys -> (dedup) -> reconcile(key) -> None            done until the next event
                                               -> seconds         look again then, or at the next event
                                               -> Temporary       retry after its delay, or with growing pauses
                                               -> Permanent       logged once; only a new event tries again
                                               -> any other error as Temporary, with its traceback
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from lab.embedded.kube import Informer, KubeError, Obj
from lab.embedded.operators.objects import key_of

BACKOFF_FIRST = 0.05
BACKOFF_LIMIT = 15.0
CONFLICT_PAUSE = 0.01

Keys = Callable[[Obj], Iterable[str]]


class Temporary(Exception):
    """Not possible now; try again after `delay` seconds (default: growing pauses)."""

    def __init__(self, message: str, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class Permanent(Exception):
    """Not possible as the object stands; only a change of it, or of what it depends on, can help."""


def own_key(obj: Obj) -> Iterable[str]:
    """The usual mapping: an object's event asks for that object."""
    return (key_of(obj),)


class Controller:
    """A named reconcile loop. Subclasses call `watch` in their constructor and implement `reconcile`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = logging.getLogger(f"virtlab.{name}")
        self._active: dict[str, asyncio.Task[None]] = {}
        self._dirty: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._early: set[str] = set()
        self._running = False

    async def reconcile(self, key: str) -> float | None:
        """Bring the object of `key` nearer to its wanted state; seconds returned mean: look again by then."""
        raise NotImplementedError

    def watch(self, informer: Informer, keys: Keys = own_key) -> None:
        """Enqueue `keys(object)` on every change in `informer`."""

        def notice(_change: str, obj: Obj) -> None:
            for key in keys(obj):
                self.enqueue(key)

        informer.subscribe(notice)

    def enqueue(self, key: str, delay: float = 0.0) -> None:
        """Ask for `key`; with a delay only if nothing asks for it earlier."""
        if delay > 0:
            self._later(key, delay)
        elif not self._running:
            self._early.add(key)
        elif key in self._active:
            self._dirty.add(key)
        else:
            self._cancel_timer(key)
            self._active[key] = asyncio.create_task(self._work(key), name=f"{self.name} {key}")

    async def run(self) -> None:
        """Work until cancelled; workers in flight are cancelled with it."""
        self._running = True
        early, self._early = self._early, set()
        for key in sorted(early):
            self.enqueue(key)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            for timer in self._timers.values():
                timer.cancel()
            workers = list(self._active.values())
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def idle(self) -> None:
        """Return when no key is being worked on (timers may still be pending)."""
        while self._active:
            await asyncio.wait(list(self._active.values()))

    async def _work(self, key: str) -> None:
        try:
            while True:
                self._dirty.discard(key)
                delay = await self._attempt(key)
                if key not in self._dirty:
                    break
        finally:
            self._active.pop(key, None)
            self._dirty.discard(key)
        if delay is not None and self._running:
            self._later(key, delay)

    async def _attempt(self, key: str) -> float | None:
        try:
            delay = await self.reconcile(key)
        except Permanent as error:
            self.log.warning("%s: %s", key, error)
            self._failures.pop(key, None)
            return None
        except Temporary as error:
            pause = self._pause(key) if error.delay is None else error.delay
            self.log.info("%s: %s; again in %.2f s", key, error, pause)
            return pause
        except KubeError as error:
            # A stale copy lost the race for the object: the newer one is on its way through the informer.
            if error.conflict:
                return CONFLICT_PAUSE
            pause = self._pause(key)
            self.log.warning("%s: %s; again in %.2f s", key, error, pause)
            return pause
        except Exception:
            pause = self._pause(key)
            self.log.exception("%s: reconcile failed; again in %.2f s", key, pause)
            return pause
        self._failures.pop(key, None)
        return delay

    def _pause(self, key: str) -> float:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(BACKOFF_LIMIT, BACKOFF_FIRST * 2 ** min(count - 1, 16)))

    def _later(self, key: str, delay: float) -> None:
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + delay, self._timers.get(key)
        if timer is not None and not timer.cancelled() and timer.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_at(due, self._fire, key)

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.enqueue(key)

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
