"""One point in time, handed down: no callee invents a total of its own.

Built on the monotonic clock, so that a corrected wall clock neither ends a wait nor prolongs it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """`ends` in seconds of the monotonic clock; `total` is what it was given at first, for messages."""

    ends: float
    total: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """A deadline so many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0

    def sub(self, seconds: float) -> Deadline:
        """A shorter deadline inside this one: whichever ends first."""
        inner = Deadline.after(seconds)
        return inner if inner.ends <= self.ends else Deadline(self.ends, self.remaining())

    def __str__(self) -> str:
        return f"{self.remaining():.1f} s of {self.total:.0f} s left"
