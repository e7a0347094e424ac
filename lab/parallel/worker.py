"""A worker: one process that runs one group as a run of its own, and the line on which it says how far it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lab.core import process
from lab.core.part import Part
from lab.parallel.groups import Group

QUIET = {"VIRTLAB_JSON_FD": "", "VIRTLAB_UPLOAD": "", "NO_COLOR": "1"}
"""What the run prints for programs and in colours, and where its folder goes, is not a worker's business."""
END_S = 30.0


class Worker:
    """Started at once; ended when its line is closed, whatever became of it."""

    def __init__(
        self, group: Group, slot: int, part: Part, argv: Sequence[str], env: Mapping[str, str], log: Path
    ) -> None:
        """`part.line` is put in place here. Raises ToolMissing."""
        self.group = group
        self.slot = slot
        self.run_id = part.run_id
        self.env = dict(env)
        self.line, theirs = socket.socketpair()
        self._rest = b""
        log.parent.mkdir(parents=True, exist_ok=True)
        mine = replace(part, line=theirs.fileno())
        with theirs, log.open("wb") as out:
            self.child = process.start_process(
                argv,
                env={**env, **QUIET, **mine.environ},
                stdout=out.fileno(),
                stderr=out.fileno(),
                keep=[theirs.fileno()],
            )

    def fileno(self) -> int:
        """Readable when it says something, and when it is gone."""
        return self.line.fileno()

    def said(self) -> list[tuple[str, str]] | None:
        """(word, text) of each whole line that is there now; None when it is gone. Blocks unless readable."""
        try:
            data = os.read(self.line.fileno(), 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [(w, t) for w, _, t in (line.decode("utf-8", "replace").partition(" ") for line in lines)]

    def end(self) -> int | None:
        """Its exit status, negative for a signal; one that lingers without a line is killed."""
        self.line.close()
        if (code := process.wait(self.child, END_S)) is None:
            process.stop(self.child)
            code = self.child.returncode
        return code
