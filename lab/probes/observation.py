"""What a probe hands over: what was seen, in three values, with the raw evidence. Probes observe; steps judge.

Only the inconclusive is ever repeated (`retry_inconclusive`): a probe that saw no answer saw just that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.core.wait import Periodic

_PAUSE_S = 1.0
_NO_PROGRAM = (126, 127)


class Outcome(Enum):
    REACHED = "reached"
    NOT_REACHED = "not reached"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Observation:
    """`probe` ("ping"), `source` and `target` for people, the outcome, `detail` in one line, the raw `evidence`."""

    probe: str
    source: str
    target: str
    outcome: Outcome
    detail: str
    evidence: CommandResult | None

    @property
    def reached(self) -> bool:
        return self.outcome is Outcome.REACHED

    @property
    def not_reached(self) -> bool:
        return self.outcome is Outcome.NOT_REACHED

    @property
    def inconclusive(self) -> bool:
        return self.outcome is Outcome.INCONCLUSIVE

    def __str__(self) -> str:
        return f"{self.probe} {self.source} -> {self.target}: {self.outcome.value}, {self.detail}"

    def conclusive(self) -> Observation:
        """Itself. Raises Inconclusive with the evidence when it proves nothing."""
        if self.inconclusive:
            raise Inconclusive(
                f"an answer of {self.probe} {self.source} -> {self.target}",
                f"{self.detail}\n{self.evidence or ''}".rstrip(),
                self.source,
                "repeat the probe; see the evidence",
            )
        return self


O = TypeVar("O", bound=Observation)  # noqa: E741


def retry_inconclusive(observe: Callable[[], O], deadline: Deadline) -> O:
    """The first conclusive observation, or at the deadline the last inconclusive one; never repeats another."""
    pause = Periodic(_PAUSE_S, "nothing announces that a probe would now be conclusive")
    while True:
        seen = observe()
        if not seen.inconclusive or deadline.expired:
            return seen
        trace.note(seen.source, f"inconclusive, once more: {seen.detail}", what="probe")
        while not deadline.expired and not pause.wait(deadline.remaining()):
            pass


def started(result: CommandResult, program: str) -> CommandResult:
    """The result. Raises ProbeNotStarted when the shell could not run the program at all (exit status 126, 127)."""
    if result.exit_code in _NO_PROGRAM:
        raise ProbeNotStarted(
            f"{program} to run",
            f"exit status {result.exit_code}: {result.output.strip()[:300] or 'no output'}",
            result.place,
            f"does the place have {program}, and may the login user run it?",
        )
    return result
