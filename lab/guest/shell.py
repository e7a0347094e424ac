"""What a shell is to everybody above: run a command, get its exit status and output, by whatever way it was reached.

Guests over SSH or the serial console and outside hosts all answer alike. A shell never judges an exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lab.core.deadline import Deadline
from lab.core.result import CommandResult


class Shell(Protocol):
    """`place` for people: "guest demo/a (console)"."""

    @property
    def place(self) -> str: ...

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """Runs argv as the login user; a script is `["sh", "-c", text]` with text of our own making.

        Raises GuestUnreachable (connection lost or refused), EnvironmentTimeout (still running at the deadline),
        Inconclusive (it ran, its exit status was lost).
        """
        ...

    def close(self) -> None: ...
