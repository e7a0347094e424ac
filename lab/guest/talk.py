"""Short questions to a place and their answers, a line each, timed: what a clock shows, whether a session lives.

Starting a program costs more than the times that matter here, so one shell stays and answers each question with
builtins alone. Over SSH and on outside hosts it is a process of its own; on a serial console it is the login shell.
"""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import paramiko

from lab.core import clock, process
from lab.core.deadline import Deadline
from lab.core.errors import EndlessOutput, EnvironmentTimeout, Inconclusive
from lab.guest.console import ConsoleShell
from lab.guest.marker import new_mark
from lab.guest.outside import OutsideShell
from lab.guest.shell import Shell
from lab.guest.ssh import SshShell

_TICK_S = 0.2
LOST_S = 1.0
"""After which a question over a console is taken for lost."""
MOST_LINE = 64 << 10
"""Bytes of an answer, which is a line of some words."""


@dataclass(frozen=True)
class Answer:
    """One line, without its end; `asked` and `answered` in seconds of the harness' clock."""

    text: str
    asked: float
    answered: float


class Talk(Protocol):
    """A place that answers. `place` is for people."""

    @property
    def place(self) -> str: ...

    def ask(self, deadline: Deadline) -> Answer:
        """Raises Inconclusive (the answer got lost, ask again), EnvironmentTimeout, GuestUnreachable, TalkOver."""
        ...

    def close(self) -> None: ...


class TalkOver(Inconclusive):
    """The other side is gone: there will be no further answers."""


def loop(snippet: str) -> str:
    """A script that runs *snippet*, which prints one line, for every line that comes in."""
    return f"while read -r vlq; do {snippet}; done"


class _Lines:
    """Bytes in, whole lines out, which *place* says."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._rest = b""

    def add(self, data: bytes) -> str | None:
        """The first whole line, if there is one now. Raises EndlessOutput."""
        line, end, rest = (self._rest + data).partition(b"\n")
        if not end:
            self._rest = line
            if len(line) > MOST_LINE:
                raise EndlessOutput("a line", self._place, line, MOST_LINE)
            return None
        self._rest = rest
        return line.decode("utf-8", "replace").rstrip("\r")


class ProcessTalk:
    """A shell on an outside host."""

    def __init__(self, shell: OutsideShell, argv: list[str]) -> None:
        self.place = shell.place
        self._child = process.start_process(shell.host.command(argv), stdin=process.PIPE)
        self._lines = _Lines(self.place)

    def ask(self, deadline: Deadline) -> Answer:
        """See Talk."""
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        asked = clock.now()
        try:
            child.stdin.write(b"\n")
            child.stdin.flush()
        except OSError as error:
            raise self._over() from error
        while not deadline.expired:
            if not select.select([child.stdout], [], [], min(_TICK_S, deadline.remaining()))[0]:
                continue
            data = child.stdout.read1(4096)  # type: ignore[attr-defined]
            if not data:
                raise self._over()
            if (line := self._lines.add(data)) is not None:
                return Answer(line, asked, clock.now())
        raise _overdue(self.place, deadline)

    def _over(self) -> TalkOver:
        return TalkOver("an answer", f"the command ended: {process.last_words(self._child)[-300:]}", self.place)

    def close(self) -> None:
        """Ends it."""
        process.stop(self._child)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            # A question that came too late for its reader is still in the buffer: closing tries to send it again.
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()


class SshTalk:
    """A shell in a guest, over a channel of an SSH connection that is open."""

    def __init__(self, shell: SshShell, argv: list[str], deadline: Deadline) -> None:
        self.place = shell.place
        self._channel = shell.channel(argv, deadline)
        self._channel.settimeout(_TICK_S)
        self._lines = _Lines(self.place)

    def ask(self, deadline: Deadline) -> Answer:
        """See Talk."""
        asked = clock.now()
        try:
            self._channel.sendall(b"\n")
            while not deadline.expired:
                try:
                    data = self._channel.recv(4096)
                except TimeoutError:
                    continue
                if not data:
                    raise TalkOver("an answer", "the session was closed by the other side", self.place)
                if (line := self._lines.add(data)) is not None:
                    return Answer(line, asked, clock.now())
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise TalkOver(
                "an answer", f"the session was lost ({error or type(error).__name__})", self.place
            ) from error
        raise _overdue(self.place, deadline)

    def close(self) -> None:
        """Ends the channel; the connection stays."""
        self._channel.close()


class ConsoleTalk:
    """The login shell on a serial console; nobody else may use it between the questions' begin and end."""

    def __init__(self, shell: ConsoleShell, snippet: str, deadline: Deadline) -> None:
        self.place = shell.place
        self._shell = shell
        # The last word is the mark: what was typed while the guest moved may have lost its end, and stands before it.
        self._define = f' vlt(){{ for vlm; do :; done; printf %s "$vlm"; {snippet}; }}'
        shell.ask(f"{self._define}; {self._question(mark := new_mark())}", _after(mark), deadline=deadline)

    def _question(self, mark: str) -> str:
        return f"vlt {mark}"

    def ask(self, deadline: Deadline) -> Answer:
        """See Talk."""
        while True:
            mark, patience = new_mark(), deadline.sub(LOST_S)
            try:
                question = f" {self._question(mark)}"
                asked, match, answered = self._shell.ask(question, _after(mark), deadline=deadline, patience=patience)
                return Answer(match[1], asked, answered)
            except EnvironmentTimeout:
                # Typed while the guest moves, a question may get lost though the connection lives: it has a mark, so
                # that it can be asked anew, and an answer that comes late is nobody's.
                if deadline.expired:
                    raise

    def close(self) -> None:
        """Nothing is held open."""


class RunTalk:
    """Any other shell: a command of its own for every question, which takes its time."""

    def __init__(self, shell: Shell, argv: list[str]) -> None:
        self.place = shell.place
        self._shell = shell
        self._argv = argv

    def ask(self, deadline: Deadline) -> Answer:
        """See Talk."""
        asked = clock.now()
        result = self._shell.run(self._argv, deadline=deadline)
        if not result.ok or not result.stdout:
            raise Inconclusive("an answer", str(result), self.place)
        return Answer(result.stdout.splitlines()[0], asked, clock.now())

    def close(self) -> None:
        """Nothing is held open."""


def _after(mark: str) -> re.Pattern[str]:
    """The mark with an answer right after it; in the echo of the question it ends the line."""
    return re.compile(rf"{mark}([^\r\n]+)\r*\n")


def _overdue(place: str, deadline: Deadline) -> EnvironmentTimeout:
    return EnvironmentTimeout(place, "an answer to a question", last="none", elapsed=deadline.total)


def talk(shell: Shell, snippet: str, *, program: Sequence[str] = ("sh",), deadline: Deadline) -> Talk:
    """A talk in which *snippet* answers, run by *program* (the words before `-c`).

    Raises GuestUnreachable, ToolMissing."""
    if isinstance(shell, OutsideShell):
        return ProcessTalk(shell, [*program, "-c", loop(snippet)])
    if isinstance(shell, SshShell):
        return SshTalk(shell, [*program, "-c", loop(snippet)], deadline)
    if isinstance(shell, ConsoleShell):
        return ConsoleTalk(shell, snippet, deadline)
    return RunTalk(shell, [*program, "-c", snippet])
