"""The one way to wait: for a change that somebody announces, with an end, an early end, and a last observation.

A wait is told the subject, what is wanted, how to look, when it is hopeless, a deadline and where changes come from
(a watch). It must not sleep: where nothing announces changes (a switch's port state), `Periodic` says so and why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentHopeless, EnvironmentTimeout, WaitHopeless, WaitTimeout

T = TypeVar("T")
HEARTBEAT_S = 1.0
Blame = Literal["product", "environment"]


@dataclass(frozen=True)
class Seen(Generic[T]):
    """One observation: `text` for people ("phase Scheduling on worker-2"), whether the wanted state is met, and the
    value to return then. `hopeless`, when not empty, says why it can never be met any more."""

    text: str
    met: bool = False
    value: T | None = None
    hopeless: str = ""


class Changes(Protocol):
    """A source of change: blocks up to so many seconds; True when something may have changed."""

    def wait(self, seconds: float) -> bool: ...


class Signal:
    """A change source that is rung by hand, from any thread; several watches may ring one signal."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def notify(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        rung = self._event.wait(seconds)
        self._event.clear()
        return rung


class Periodic:
    """Looks again each `seconds`, for what announces no change; `because` names what that is."""

    def __init__(self, seconds: float, because: str) -> None:
        self.seconds = seconds
        self.because = because
        self._next = time.monotonic() + seconds
        self._never = threading.Event()

    def wait(self, seconds: float) -> bool:
        pause = self._next - time.monotonic()
        if pause > seconds:
            self._never.wait(seconds)
            return False
        self._never.wait(max(0.0, pause))
        self._next = time.monotonic() + self.seconds
        return True


class _History:
    """The distinct observations of a wait, each with the second at which it was first seen."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._entries: list[tuple[float, str]] = []

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def add(self, text: str) -> None:
        if not self._entries or self._entries[-1][1] != text:
            self._entries.append((self.elapsed, text))

    def timed_out(self, subject: str, wanted: str, advice: str, blame: Blame) -> WaitTimeout:
        kind = EnvironmentTimeout if blame == "environment" else WaitTimeout
        since, last = self._entries[-1]
        return kind(
            subject,
            wanted,
            last=last,
            last_age=self.elapsed - since,
            elapsed=self.elapsed,
            history=tuple(self._entries),
            advice=advice,
        )

    def given_up(self, subject: str, wanted: str, reason: str, advice: str, blame: Blame) -> WaitHopeless:
        kind = EnvironmentHopeless if blame == "environment" else WaitHopeless
        return kind(
            subject,
            wanted,
            reason=reason,
            last=self._entries[-1][1],
            elapsed=self.elapsed,
            history=tuple(self._entries),
            advice=advice,
        )


def wait_until(
    subject: str,
    wanted: str,
    observe: Callable[[], Seen[T]],
    *,
    deadline: Deadline,
    changes: Changes,
    hopeless: Callable[[], str | None] | None = None,
    advice: str = "",
    blame: Blame = "product",
) -> T | None:
    """Waits until `observe()` is met and returns its value.

    It looks once at the start, then after each announced change, and once more when the time is up. `hopeless()`, or
    `Seen.hopeless`, ends it early. What `observe` raises goes through.

    Raises WaitTimeout (EnvironmentTimeout with blame="environment") or WaitHopeless (EnvironmentHopeless).
    """
    history = _History()
    limit = deadline.remaining()
    with trace.span("wait", subject, wanted, limit=limit) as span:
        while True:
            final = deadline.expired
            seen = observe()
            history.add(seen.text)
            span.observed(seen.text)
            if seen.met:
                return seen.value
            if reason := seen.hopeless or (hopeless() if hopeless else None):
                raise history.given_up(subject, wanted, reason, advice, blame)
            if final:
                raise history.timed_out(subject, wanted, advice, blame)
            _await_change(changes, deadline, span, seen.text)


def _await_change(changes: Changes, deadline: Deadline, span: trace.Span, text: str) -> None:
    """Returns on a change or at the deadline; a heartbeat each second keeps the live line moving."""
    while not deadline.expired:
        if changes.wait(min(HEARTBEAT_S, deadline.remaining())):
            return
        span.observed(text)
