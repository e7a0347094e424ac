"""A turn that processes of one machine take: held by one of them, and given back when its holder is killed, too."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from lab.core.deadline import Deadline
from lab.core.wait import Periodic, Seen, wait_until

LOOK_S = 0.5


class Turn:
    """The lock of a file, whose text names the holder."""

    def __init__(self, path: Path, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._file = -1

    @property
    def held(self) -> bool:
        return self._file >= 0

    def take(self, what: str, deadline: Deadline) -> None:
        """Hold it; what is held stays held. Raises EnvironmentTimeout naming the holder."""
        if self.held:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            wait_until(
                what,
                "this worker's turn",
                lambda: self._try(file),
                deadline=deadline,
                changes=Periodic(LOOK_S, "a lock that is given back tells nobody"),
                blame="environment",
                advice=f"what does that worker do? Its log is beside {self._path}",
            )
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _try(self, file: int) -> Seen[None]:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Seen(f"held by {os.pread(file, 200, 0).decode('utf-8', 'replace') or 'another worker'}")
        os.ftruncate(file, 0)
        os.pwrite(file, self._holder.encode(), 0)
        return Seen("taken", met=True)

    def give_back(self) -> None:
        """May be called again."""
        if self.held:
            os.close(self._file)
            self._file = -1
