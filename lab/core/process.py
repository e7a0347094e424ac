"""The only place of the harness that starts child processes on this machine: argv lists, no shell, always an end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, EndlessOutput, EnvironmentTimeout, ToolMissing
from lab.core.result import MOST_OUTPUT, CommandResult

_GRACE_S = 2.0
_PIECE = 1 << 16
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
    program: str = "",
) -> CommandResult:
    """Runs a command to its end. `env` is added to ours. Output that is no UTF-8 is kept with replacement characters.

    *program* names what runs at *place*, where argv only leads there. Raises ToolMissing (no such program),
    EnvironmentTimeout (killed at the deadline, with all of its process group), EndlessOutput (killed, too: it printed
    more than is read of one command), CommandFailed (only with check=True).
    """
    with trace.span("command", place, " ".join(argv), limit=deadline.remaining()):
        start = time.monotonic()
        child = start_process(argv, env=env, cwd=cwd, stdin=subprocess.PIPE)
        said = _Said(child)
        ended = False
        try:
            ended = said.listen(stdin.encode(), deadline)
        finally:
            if not ended:
                stop(child)
            said.close()
        if said.endless is not None:
            raise EndlessOutput(program or argv[0], place, said.endless)
        result = _result(argv, place, child.returncode, bytes(said.out), bytes(said.err), start)
        if not ended:
            raise EnvironmentTimeout(
                place, "the command to end", last=str(result), elapsed=result.seconds, advice="a longer deadline"
            )
        if check and not result.ok:
            raise CommandFailed(result)
        return result


class _Said:
    """What a child with three pipes says, up to a limit of each stream: an outside host may print without end."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.out, self.err = bytearray(), bytearray()
        self.endless: bytearray | None = None
        """The stream that went over the limit."""

    def listen(self, stdin: bytes, deadline: Deadline) -> bool:
        """Write *stdin* and read until all is said and the child has ended; False when the deadline or the limit ends
        that."""
        child, left = self._child, memoryview(stdin)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        with selectors.DefaultSelector() as open_:
            open_.register(child.stdout, selectors.EVENT_READ, self.out)
            open_.register(child.stderr, selectors.EVENT_READ, self.err)
            os.set_blocking(child.stdin.fileno(), False)
            open_.register(child.stdin, selectors.EVENT_WRITE)
            while open_.get_map():
                if deadline.expired:
                    return False
                for key, _ in open_.select(deadline.remaining()):
                    if key.data is None:
                        left = _feed(key.fd, left)
                        more = len(left) > 0
                    else:
                        more = self._hear(key.fd, key.data)
                    if self.endless is not None:
                        return False
                    if not more:
                        open_.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
        return wait(child, deadline.remaining()) is not None

    def _hear(self, fd: int, into: bytearray) -> bool:
        piece = os.read(fd, _PIECE)
        into += piece
        if len(into) > MOST_OUTPUT:
            self.endless = into
        return bool(piece)

    def close(self) -> None:
        """The pipes; whoever still holds the other ends finds them closed."""
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                stream.close()


def _feed(fd: int, left: memoryview) -> memoryview:
    """What is left to be written; nothing once nobody reads it."""
    try:
        return left[os.write(fd, left[:_PIECE]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]


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


def last_words(child: Child) -> str:
    """What a child that ended, or is about to, has said on its standard error; "" while it runs. Never waits for more:
    what it left behind may hold the pipe open."""
    if wait(child, 0.5) is None or child.stderr is None:
        return ""
    os.set_blocking(child.stderr.fileno(), False)
    return (child.stderr.read(_PIECE) or b"").decode("utf-8", "replace").strip()


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
