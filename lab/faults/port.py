"""Faults, by the command that the target file names: the harness asks for one and never knows how it is made.

A target without such a command cannot have faults; a scenario that needs one is skipped with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.core import facts, process, trace
from lab.core.deadline import Deadline
from lab.core.result import CommandResult

FAULT_S = 60.0


class FaultPort:
    """``command`` is the argv that ``set``, ``list`` and ``heal`` are put behind."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def set(self, spec: Sequence[str]) -> CommandResult:
        """Inject a fault, e.g. ``("vlan-cut", "worker-2", "2024")``. Raises CommandFailed with both streams."""
        trace.note("fault", f"set {' '.join(spec)}")
        facts.tell("fault", facts.Fault(" ".join(spec)))
        return self._run("set", *spec)

    def heal(self, spec: Sequence[str] = ()) -> CommandResult:
        """Take a fault back, or all. Raises CommandFailed."""
        trace.note("fault", f"heal {' '.join(spec) or 'all'}")
        return self._run("heal", *spec)

    def list(self) -> str:
        """The active faults, as the command prints them."""
        return self._run("list").stdout

    def _run(self, *words: str) -> CommandResult:
        return process.run([*self._command, *words], deadline=Deadline.after(FAULT_S), check=True)
