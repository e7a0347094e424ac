"""What `kind up` does, as data: the same objects are printed as a plan and carried out.

A command is an argv; a word of it may be the answer of another command, and a question may make it superfluous. Both
print as a shell reads them, so that a plan can be pasted into a terminal. Nothing here runs anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.access.kinds import Kind, Obj
from lab.core.wait import Seen


@dataclass(frozen=True)
class Answer:
    """A word that is known only later: what `argv` prints, between `before` and `after`."""

    argv: tuple[str, ...]
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f'"{self.before}$({shlex.join(self.argv)}){self.after}"'


Word = str | Answer


@dataclass(frozen=True)
class Command:
    """`unless` is a question: where it succeeds, the command is not needed any more. `seconds` is its limit."""

    argv: tuple[Word, ...]
    unless: tuple[str, ...] = ()
    seconds: float = 120.0

    def __str__(self) -> str:
        command = " ".join(shlex.quote(word) if isinstance(word, str) else str(word) for word in self.argv)
        return f"{shlex.join(self.unless)} >/dev/null 2>&1 || {command}" if self.unless else command


@dataclass(frozen=True)
class Write:
    """A file of the cluster's own folder; the text ends with a line's end."""

    path: Path
    text: str

    def __str__(self) -> str:
        path = shlex.quote(str(self.path))
        return f"mkdir -p {shlex.quote(str(self.path.parent))} && cat >{path} <<'END'\n{self.text.rstrip()}\nEND"


@dataclass(frozen=True)
class Wait:
    """Until `check` of all objects of a kind (of one name, if given) is met.

    `pods` is a namespace whose pods may hold it up, "" none."""

    kind: Kind
    name: str
    namespace: str
    wanted: str
    check: Callable[[Sequence[Obj]], Seen[None]]
    seconds: float
    pods: str = ""

    @property
    def subject(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}".strip()

    def __str__(self) -> str:
        return f"# wait for {self.subject}: {self.wanted} ({self.seconds:.0f} s)"


Action = Command | Write | Wait


@dataclass(frozen=True)
class Step:
    """Some actions under one name; `why` in a few words."""

    name: str
    why: str
    actions: tuple[Action, ...]


def engine_exec(engine: str, container: str, *argv: str) -> tuple[str, ...]:
    """The argv that runs another one in a container."""
    return (engine, "exec", container, *argv)
