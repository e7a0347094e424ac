"""The clock by which the API server stamps objects: the machine's, unless it is set to go wrong.

Nothing else may stamp: a server whose clock is wrong is wrong everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_offset = timedelta(0)


def set_offset(offset: timedelta) -> None:
    """How far the clock is ahead of the machine's (behind it, when negative)."""
    global _offset
    _offset = offset


def now() -> datetime:
    """The present, as this server has it."""
    return datetime.now(UTC) + _offset


def stamp(moment: datetime | None = None) -> str:
    """A moment, the present by default, as metav1.Time prints it."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%SZ")
