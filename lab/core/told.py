"""How an error that ends a command is told: its words on stderr, and the exit code that says whose it is."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from lab.core.errors import LabError, UsageError

P = ParamSpec("P")
USAGE, BROKEN = 2, 10


def tell(error: BaseException) -> int:
    """The exit code of an error that is no fault of ours, once it is told; raised again is any other."""
    if isinstance(error, LabError):
        sys.stderr.write(f"virtlab: {error}\n")
        return USAGE if isinstance(error, UsageError) else BROKEN
    if isinstance(error, OSError) and (error.filename or error.errno == errno.ENOSPC):
        sys.stderr.write(f"virtlab: cannot write {error.filename or 'the output'}: {error.strerror}\n")
        return USAGE
    raise error


def told(command: Callable[P, int]) -> Callable[P, int]:
    """A command whose errors end it with what :func:`tell` says."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            return tell(error)

    return run
