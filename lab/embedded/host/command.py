"""The only place in the embedded lab where child processes start while it runs.

Every command is an argument list, runs with a deadline, and leaves a record that can be pasted into a
shell.  A namespace is a path (``/run/netns/x`` or ``/proc/PID/ns/net``) entered through ``nsenter``, so
that what is logged is what a person would type.  It must not decide what a failure means.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from lab.embedded.errors import LabError

DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Completed:
    """A finished command; ``seconds`` is wall time."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    def __str__(self) -> str:
        return f"$ {shlex.join(self.argv)}\n{self.stdout}{self.stderr}(exit {self.returncode}, {self.seconds:.2f} s)"


class CommandFailed(LabError):
    """A command ended with a status nobody asked for, or not in time."""

    def __init__(self, result: Completed, *, timeout: float | None = None) -> None:
        self.result = result
        said = (result.stderr.strip() or result.stdout.strip())[-800:]
        how = f"did not end within {timeout:g} s" if timeout else f"exit status {result.returncode}"
        super().__init__(f"wanted `{shlex.join(result.argv)}` to succeed", f"{how}: {said or 'it said nothing'}")


def entering(netns: str | None, argv: Sequence[str]) -> list[str]:
    """``argv`` as it must be started to act in the namespace at path ``netns``."""
    return list(argv) if netns is None else ["nsenter", f"--net={netns}", "--", *argv]


async def spawn(
    argv: Sequence[str],
    *,
    netns: str | None = None,
    stdin: int | IO[Any] | None = asyncio.subprocess.DEVNULL,
    stdout: int | IO[Any] | None = asyncio.subprocess.DEVNULL,
    stderr: int | IO[Any] | None = asyncio.subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> asyncio.subprocess.Process:
    """Start a process in a session of its own, so that a signal can reach all it starts."""
    try:
        return await asyncio.create_subprocess_exec(
            *entering(netns, argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as missing:
        nothing = Completed(tuple(argv), 127, "", f"{argv[0]}: not found on PATH ({missing})", 0.0)
        raise CommandFailed(nothing) from missing


async def run(
    argv: Sequence[str],
    *,
    netns: str | None = None,
    input: bytes | None = None,
    check: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run to the end and return what was said.

    Raises CommandFailed when ``check`` and the status is not 0, or after ``timeout`` seconds.
    """
    began = time.monotonic()
    pipe = asyncio.subprocess.PIPE
    stdin = asyncio.subprocess.DEVNULL if input is None else pipe
    process = await spawn(argv, netns=netns, stdin=stdin, stdout=pipe, stderr=pipe, env=env)
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(input)
    except TimeoutError:
        await _end(process)
        late = Completed(tuple(argv), -1, "", "", time.monotonic() - began)
        raise CommandFailed(late, timeout=timeout) from None
    except asyncio.CancelledError:
        await _end(process)
        raise
    result = Completed(
        tuple(argv),
        process.returncode or 0,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )
    if check and result.returncode != 0:
        raise CommandFailed(result)
    return result


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
