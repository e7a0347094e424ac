"""The only place of the harness that starts child processes on this machine: argv lists, no shell, always an end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, EnvironmentTimeout, ToolMissing
from lab.core.result import CommandResult

_GRACE_S = 2.0
PIPE = subprocess.PIPE
Child = subprocess.Popen[bytes]


def run(
    argv: Sequence[str],
    *,
    deadline: Deadline,
    place: str = "this machine",
    stdin: str = "",
    check: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> CommandResult:
    """Runs a command to its end. `env` is added to ours. Output that is no UTF-8 is kept with replacement characters.

    Raises ToolMissing (no such program), EnvironmentTimeout (killed at the deadline, with all of its process group),
    CommandFailed (only with check=True).
    """
    with trace.span("command", place, " ".join(argv), limit=deadline.remaining()):
        start = time.monotonic()
        child = start_process(argv, env=env, cwd=cwd, stdin=subprocess.PIPE)
        try:
            out, err = child.communicate(stdin.encode(), timeout=deadline.remaining())
        except subprocess.TimeoutExpired:
            stop(child)
            out, err = child.communicate()
            partial = _result(argv, place, child.returncode, out, err, start)
            raise EnvironmentTimeout(
                place, "the command to end", last=str(partial), elapsed=partial.seconds, advice="a longer deadline"
            ) from None
        except BaseException:
            stop(child)
            raise
        result = _result(argv, place, child.returncode, out, err, start)
        if check and not result.ok:
            raise CommandFailed(result)
        return result


def start_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    keep: Sequence[int] = (),
) -> Child:
    """A running child in a process group of its own (Ctrl-C at the terminal does not reach it); end it with stop().

    It has standard input and outputs, and the descriptors to *keep*.
    """
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(keep),
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            f"the program {argv[0]!r}",
            f"no such file: {error.filename}",
            "this machine",
            f"install {argv[0]!r}, put it on PATH, or correct the command in the target file",
        ) from error
    except PermissionError as error:
        raise ToolMissing(
            f"the program {argv[0]!r}",
            "it may not be executed",
            "this machine",
            f"chmod +x {error.filename or argv[0]}",
        ) from error


def wait(child: Child, seconds: float) -> int | None:
    """The exit status within so many seconds; None when it still runs."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def interrupt(child: Child) -> None:
    """SIGINT to a child and its process group, as Ctrl-C would."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)


def stop(child: Child, grace: float = _GRACE_S) -> None:
    """Ends a child and its process group: asked first, killed after `grace` seconds."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
        if child.poll() is None:
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                break
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        break


def _result(argv: Sequence[str], place: str, code: int, out: bytes, err: bytes, start: float) -> CommandResult:
    return CommandResult(
        tuple(argv),
        place,
        code,
        out.decode("utf-8", "replace"),
        err.decode("utf-8", "replace"),
        time.monotonic() - start,
    )
