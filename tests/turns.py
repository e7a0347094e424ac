"""A test whose subject is time has the machine to itself: the other workers of `make test` wait while it runs.

Locks on files that are there anyway: nothing is left, and the kernel gives back what a killed worker held. A worker on
its way to a test passes a gate, which who wants to be alone keeps shut, so that no stream of short tests is in its way.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GATE, ROOM = Path(__file__), Path(__file__).with_name("conftest.py")


@contextmanager
def turn(*, alone: bool, gate: Path = GATE, room: Path = ROOM) -> Iterator[None]:
    """Run something beside others, or alone; waits until that can be."""
    with gate.open() as passage, room.open() as inside:
        fcntl.flock(passage, fcntl.LOCK_EX)
        try:
            fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if not alone:
                fcntl.flock(passage, fcntl.LOCK_UN)
            yield
        finally:
            # By name, since a child that was forked meanwhile and stays would keep what closing alone gives back.
            fcntl.flock(inside, fcntl.LOCK_UN)
            fcntl.flock(passage, fcntl.LOCK_UN)
