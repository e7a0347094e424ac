"""The undo stack: whatever was made registers how to take it back; run in reverse, whatever happened before.

It has a deadline of its own, since the run's may be what expired. Errors are collected, not thrown, so that one
failed step does not strand the rest. It decides nothing: keeping things is the caller's choice (`abandon`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.core import trace
from lab.core.deadline import Deadline

Undo = Callable[[Deadline], object]


@dataclass(frozen=True)
class UndoFailure:
    """What could not be undone, and why."""

    what: str
    error: BaseException


class UndoStack:
    """Use: `stack.push("VM demo/a", lambda deadline: client.delete(...))`, at the end `stack.unwind(seconds=60)`."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, Undo]] = []
        self.failures: list[UndoFailure] = []

    def push(self, what: str, undo: Undo) -> None:
        """Registers an undo; push before the doing if a half-done thing also needs taking back."""
        self._entries.append((what, undo))

    @property
    def pending(self) -> tuple[str, ...]:
        """What is still to be undone, next first."""
        return tuple(what for what, _ in reversed(self._entries))

    def abandon(self) -> tuple[str, ...]:
        """Forgets everything without undoing; returns what stays behind."""
        left = self.pending
        self._entries.clear()
        return left

    def unwind(self, seconds: float) -> list[UndoFailure]:
        """Undoes all, newest first, in at most about `seconds`; an entry's share is what is left, and at least 1 s.

        A KeyboardInterrupt during the first pass is remembered, the current entry counts as failed and the rest is
        still tried before KeyboardInterrupt goes up; a second one stops at once, and what is left stays in `pending`.
        The failures of all passes also stay in `self.failures`.
        """
        deadline = Deadline.after(seconds)
        failures = self.failures
        interrupted = False
        while self._entries:
            what, undo = self._entries.pop()
            try:
                with trace.span("undo", what):
                    undo(deadline if deadline.remaining() > 1.0 else Deadline.after(1.0))
            except KeyboardInterrupt as error:
                failures.append(UndoFailure(what, error))
                if interrupted:
                    self._entries.append((what, undo))
                    raise
                interrupted = True
            except Exception as error:
                failures.append(UndoFailure(what, error))
        if interrupted:
            raise KeyboardInterrupt
        return list(failures)
