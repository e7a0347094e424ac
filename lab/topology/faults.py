"""Faults that a scenario makes itself, and takes back: several at once, at the latest when the scenario ends.

What each of them breaks is the business of the command that the target names. A run's own faults (`--fault`) are
others; but one that a run makes in each scenario anew (`--each-fault`) is the scenario's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lab.core.errors import LabError, UsageError
from lab.core.undo import UndoStack
from lab.faults.port import AND, FaultPort


class ScenarioFaults:
    """The faults of one scenario that are set now."""

    def __init__(self, command: Sequence[str], undo: UndoStack) -> None:
        self._port = FaultPort(command)
        self._undo = undo
        self._set: list[str] = []
        self.armed = ""
        """The fault that waits to be made; empty for none."""
        self._healed: Callable[[], object] = lambda: None

    def set(self, *faults: str) -> None:
        """Make faults, each in the words of the target's command (``member-down node=w1 nic=eth1``), at once.

        Raises CommandFailed with what the command said; those that could be made stay to be healed.
        """
        if not self._set:
            self._undo.push("faults of a scenario", lambda _: self.heal())
        try:
            self._port.set(*(fault.split() for fault in faults))
        except LabError:
            listed = self._port.list()
            self._set += [fault for fault in faults if fault in listed]
            raise
        self._set += faults

    def arm(self, fault: str, healed: Callable[[], object]) -> None:
        """Have *fault* made by :meth:`strike`, once; *healed* is called when all faults of the scenario are healed."""
        self.armed, self._healed = fault, healed

    def strike(self, values: Mapping[str, str]) -> None:
        """Make the fault that is armed, ``{name}`` in it replaced by a value.

        Raises UsageError for a name that is none, CommandFailed.
        """
        fault, self.armed = self.armed, ""
        if not fault:
            return
        named = {name: value for name, value in values.items() if value}
        if unknown := [name for name in re.findall(r"{(\w*)}", fault) if name not in named]:
            raise UsageError(
                f"a fault that names {', '.join(f'{{{name}}}' for name in named)} at most",
                f"{unknown[0]!r} in {fault!r}",
            )
        self.set(*(one.strip() for one in re.sub(r"{(\w+)}", lambda m: named[m[1]], fault).split(f" {AND} ")))

    def heal(self, *faults: str) -> None:
        """Take back these, or all that are set. Raises CommandFailed."""
        gone = list(faults) or self._set[::-1]
        self._set = [fault for fault in self._set if fault not in gone]
        if gone:
            self._port.heal(*(fault.split() for fault in gone))
        if gone and not self._set:
            self._healed()
