"""Faults that a scenario makes itself, and takes back: several at once, at the latest when the scenario ends.

What each of them breaks is the business of the command that the target names. A run's own faults (`--fault`) are
others.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.core.errors import LabError
from lab.core.undo import UndoStack
from lab.faults.port import FaultPort


class ScenarioFaults:
    """The faults of one scenario that are set now."""

    def __init__(self, command: Sequence[str], undo: UndoStack) -> None:
        self._port = FaultPort(command)
        self._undo = undo
        self._set: list[str] = []

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

    def heal(self, *faults: str) -> None:
        """Take back these, or all that are set. Raises CommandFailed."""
        gone = list(faults) or self._set[::-1]
        self._set = [fault for fault in self._set if fault not in gone]
        if gone:
            self._port.heal(*(fault.split() for fault in gone))
