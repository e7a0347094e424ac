"""Reading a place's clock again and again while something else goes on, so that what happens to it is not missed.

It keeps the shell that it is given busy: nobody else may use it meanwhile. A question that gets lost (a console that
ends in a migration) is asked again; one that cannot be answered any more leaves a gap in the readings, nothing worse.
"""

from __future__ import annotations

import threading
from types import TracebackType

from lab.core import clock
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, LabError, ProbeNotStarted
from lab.core.numerals import real
from lab.guest.shell import Shell
from lab.guest.talk import Answer, Talk, TalkOver, talk
from lab.probes.clocks import Reading, Stretch, stretches, unseen_s

SNIPPET = 'read -r vlu vli </proc/uptime; echo "${EPOCHREALTIME:-$(date +%s.%N)} $vlu"'
"""Wall clock and uptime, by builtins where the shell has them (bash 5, busybox)."""
_FIRST, _LAST = 8, 40
SHARP_S = 0.015
"""A question that took no longer tells enough; a place that was just moved is slow at first, and asked more often."""
_PAUSE_S = 0.15
_QUESTION_S = 5.0
_STOP_S = 60.0


def read_clock(answer: Answer) -> Reading | None:
    """An answer to SNIPPET as a reading; None when it is none (a date without fractions cannot serve)."""
    words = answer.text.replace(",", ".").split()
    shown, up = (real(word) for word in (*words, "", "")[:2])
    if shown is None or (up is None and len(words) > 1):
        return None
    return Reading(answer.asked, answer.answered, shown, up)


class ClockWatch:
    """Readings of one place's clock from start() to stop(). A context manager: leaving it stops it."""

    def __init__(self, shell: Shell, *, program: tuple[str, ...] = ("sh",)) -> None:
        self._shell = shell
        self._program = program
        self._readings: list[Reading] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=f"clock of {shell.place}", daemon=True)
        self._talk: Talk | None = None
        self.trouble = ""
        """Why readings ended before the watch did."""

    @property
    def place(self) -> str:
        return self._shell.place

    def __enter__(self) -> ClockWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def start(self, deadline: Deadline) -> None:
        """Takes the first readings and goes on in the background. Raises ProbeNotStarted, GuestUnreachable."""
        self._talk = talk(self._shell, SNIPPET, program=self._program, deadline=deadline)
        answer = None
        for _ in range(_FIRST):
            answer = self._ask(deadline)
        if not self._readings:
            raise ProbeNotStarted(
                "a clock with fractions of a second",
                repr(answer.text if answer else ""),
                self.place,
                "has its shell $EPOCHREALTIME (bash 5, busybox), or its date %N?",
            )
        self._thread.start()

    def stop(self) -> tuple[Stretch, ...]:
        """Takes the last readings; the clock as stretches in which it ran evenly."""
        self._end()
        return stretches(self._readings)

    def unseen_ms(self, after: float, until: float) -> float:
        """How long the clock may have stood still by *after* without that having been seen; call it after stop()."""
        return unseen_s(self._readings, after, until) * 1000

    def _end(self) -> None:
        if self._thread.is_alive():
            self._over.set()
            self._thread.join(_STOP_S)
        if self._talk is not None:
            self._talk.close()
            self._talk = None

    def _ask(self, deadline: Deadline) -> Answer | None:
        assert self._talk is not None
        try:
            answer = self._talk.ask(deadline.sub(_QUESTION_S))
        except TalkOver:
            raise
        except Inconclusive:
            return None
        if (reading := read_clock(answer)) is not None:
            self._readings.append(reading)
        return answer

    def _go_on(self) -> None:
        left = _LAST
        while left > 0:
            try:
                self._ask(Deadline.after(_QUESTION_S))
            except LabError as error:
                self.trouble = self.trouble or error.headline
                if isinstance(error, TalkOver) or self._over.is_set():
                    return
            if self._over.wait(_PAUSE_S):
                left -= 1
                last = self._readings[-1]
                if last.answered - last.asked <= SHARP_S:
                    left -= _LAST // _FIRST - 1


def harness_moved() -> tuple[str, ...]:
    """A remark when this machine's own time was set since the process began."""
    moved = clock.moved_ms()
    return (f"the time of this machine was set by {moved:.0f} ms since the run began",) if abs(moved) > 50 else ()
