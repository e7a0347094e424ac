"""The one result type of a command, wherever it ran (here, in a pod, in a guest, on an outside host).

It reports and never judges: whether an exit status is fine is for the caller, who has `check()` when it must be 0.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandResult:
    """`argv` as run, `place` for people ("guest a (console)"), exit status, both streams as text, seconds taken.

    A serial console has one stream only: there `stdout` holds both and `stderr` is empty.
    """

    argv: tuple[str, ...]
    place: str
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def output(self) -> str:
        """Both streams, stdout first."""
        return self.stdout + self.stderr

    def __str__(self) -> str:
        head = f"$ {shlex.join(self.argv)}\n# on {self.place}: exit status {self.exit_code} after {self.seconds:.2f} s"
        streams = [_quoted(name, text) for name, text in (("stdout", self.stdout), ("stderr", self.stderr)) if text]
        return "\n".join([head, *streams])


def _quoted(name: str, text: str, limit: int = 4000) -> str:
    """A stream as shell comments; the middle of a long one is left out, and that is said."""
    text = text.rstrip("\n")
    if len(text) > limit:
        text = f"{text[: limit // 2]}\n[... {len(text) - limit} characters left out ...]\n{text[-limit // 2 :]}"
    shown = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
    return "\n".join(f"# {name}: {line}" for line in shown.split("\n"))


MOST_OUTPUT = 16 << 20
"""Bytes of one stream of a command, wherever it runs: what prints more may print without end."""
