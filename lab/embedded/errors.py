"""The embedded lab's own errors, in the shape every message of virtlab has.

This room exists so that a mistake reads the same wherever it is found: what was wanted, what was
found, where, and what to try.  It must not know any other room.

    LabError
    ├── CommandFailed        a child process ended with an unwanted status (host/command.py)
    ├── ToolError            a needed program is neither installed nor to be had
    ├── HostForbids          the kernel or its settings refuse what the lab needs
    ├── StateError           a lab of that name exists, does not exist, or is in another state
    └── FaultError           an unknown fault, or one that cannot be set as asked
"""

from __future__ import annotations


class LabError(Exception):
    """Something the user can read and act on; never shown as a traceback."""

    exit_code = 1

    def __init__(self, wanted: str, found: str, *, where: str = "", advice: str = "") -> None:
        self.wanted, self.found, self.where, self.advice = wanted, found, where, advice
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"\n  try: {self.advice}" if self.advice else ""
        return f"{self.wanted}: {self.found}{place}{advice}"


class ToolError(LabError):
    """A needed program is neither installed nor to be had."""

    exit_code = 10


class HostForbids(LabError):
    """The kernel or its settings refuse what the lab needs."""

    exit_code = 10


class StateError(LabError):
    """The named lab is not in the state the command needs."""


class FaultError(LabError):
    """An unknown fault, or one that cannot be set as asked."""

    exit_code = 2
