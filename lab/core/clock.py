"""The harness' own clock: seconds since 1970 that no correction of this machine's time can make jump.

It was right when the process began and runs with the monotonic clock from then on; how far the machine's time has moved
away since is said by `moved_ms()`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970, steadily."""
    return _EPOCH + time.monotonic()


def moved_ms() -> float:
    """How far this machine's time was set since the process began, in ms."""
    return (time.time() - now()) * 1000


def stamp(moment: float) -> str:
    """A moment of this clock as RFC 3339 with milliseconds, UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
