"""A child process that outlives the one that started it: the supervisor of a lab.

It must not know what it starts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Detached:
    """A process in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def only_child(self) -> int:
        """The PID of the one process it started. Raises OSError or IndexError when there is none."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])


def start(argv: Sequence[str], *, log: Path, pass_fds: Sequence[int], env: Mapping[str, str]) -> Detached:
    """Start ``argv`` with its output in ``log``. Raises OSError when it cannot be started."""
    with log.open("wb") as output:
        return Detached(
            subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                env={**os.environ, **env},
            )
        )
