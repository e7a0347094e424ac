"""The embedded lab's own errors, in the shape every message of virtlab has.

This room exists so that a mistake reads the same wherever it is found: what was wanted, what was
found, where, and what to try.  It must not know any other room.

    LabError
    ├── CommandFailed        a child process ended with an unwanted status (host/command.py)
    ├── ToolError            a needed program is neither installed nor to be had
    ├── HostForbids          the kernel, its settings or its files refuse what the lab needs
    ├── UsageError           the words of a command make no sense, whatever state the lab is in
    ├── StateError           a lab of that name exists, does not exist, or is in another state
    └── FaultError           a fault that cannot be set or healed as things are
"""

from __future__ import annotations

import unicodedata


class LabError(Exception):
    """Something the user can read and act on; never shown as a traceback."""

    exit_code = 1

    def __init__(self, wanted: str, found: str, *, where: str = "", advice: str = "") -> None:
        self.wanted, self.found, self.where, self.advice = wanted, found, where, advice
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"\n  try: {self.advice}" if self.advice else ""
        text = f"{self.wanted}: {self.found}{place}{advice}"
        # Files and names may hold anything, and this goes to a terminal.
        return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in text)


class ToolError(LabError):
    """A needed program is neither installed nor to be had."""

    exit_code = 10


class HostForbids(LabError):
    """The kernel, its settings or its files refuse what the lab needs."""

    exit_code = 10


class UsageError(LabError):
    """The words of a command make no sense, whatever state the lab is in."""

    exit_code = 2


class StateError(LabError):
    """The named lab is not in the state the command needs."""


class FaultError(LabError):
    """A fault that cannot be set or healed as things are."""
