"""Faults, by the command that the target file names: the harness asks for one and never knows how it is made.

A target without such a command cannot have faults; a scenario that needs one is skipped with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.core import facts, process, trace
from lab.core.deadline import Deadline
from lab.core.result import CommandResult

FAULT_S = 60.0
AND = "+"


class FaultPort:
    """``command`` is the argv that ``set``, ``list`` and ``heal`` are put behind."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def set(self, *specs: Sequence[str]) -> CommandResult:
        """Inject faults at once, each e.g. ``("vlan-cut", "worker-2", "2024")``; the command gets ``+`` between them.

        Raises CommandFailed with both streams.
        """
        for spec in specs:
            trace.note("fault", f"set {' '.join(spec)}")
            facts.tell("fault", facts.Fault(" ".join(spec)))
        return self._run("set", *_joined(specs))

    def heal(self, *specs: Sequence[str]) -> CommandResult:
        """Take faults back, or all. Raises CommandFailed."""
        trace.note("fault", f"heal {' '.join(_joined(specs)) or 'all'}")
        return self._run("heal", *_joined(specs))

    def list(self) -> str:
        """The active faults, as the command prints them."""
        return self._run("list").stdout

    def _run(self, *words: str) -> CommandResult:
        return process.run([*self._command, *words], deadline=Deadline.after(FAULT_S), check=True)


def _joined(specs: Sequence[Sequence[str]]) -> list[str]:
    return [word for number, spec in enumerate(specs) for word in ([AND] if number else []) + list(spec)]
