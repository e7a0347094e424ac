"""What a worker of a run in several processes is told by it, and the line on which it says how far it is.

The environment carries it, so that a worker is started by the same command as any run. The line is a socket: whoever of
the two ends, the other sees it closed. It says no verdict; those stand in the worker's own record.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "VIRTLAB_PART"
BEGAN, ENDED, STARTED = "began", "ended", "started"
"""Words of the line: a scenario begins; it has ended, as the record says (each with its node id); a lab is started."""


@dataclass(frozen=True)
class Part:
    """`run_id` has the run's id, a dot and a number; `holder` is the run's hold on a cluster that workers share (empty:
    the worker holds a cluster of its own), `turn` the lock for changes of its nodes, `line` a descriptor."""

    run_id: str
    folder: str
    holder: str
    turn: str
    line: int

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Part | None:
        """What this process is a part of; None for a run of its own."""
        text = environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None

    @property
    def environ(self) -> dict[str, str]:
        """What tells a child process that it is this part."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def path(self) -> Path:
        """The folder of its own record."""
        return Path(self.folder)

    def tell(self, word: str, text: str = "") -> None:
        """One line to the run; one that is gone need not hear it."""
        with suppress(OSError):
            os.write(self.line, f"{word} {text}\n".encode())

    def end_with_the_run(self) -> None:
        """From now on, end as by SIGTERM (everything is put back) when the process that started this one is gone."""
        threading.Thread(target=self._listen, name="part", daemon=True).start()

    def _listen(self) -> None:
        line = socket.socket(fileno=os.dup(self.line))
        with suppress(OSError):
            while line.recv(64):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
