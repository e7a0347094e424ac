"""Where the processes of a container run: which network, which files, which folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lab.embedded.host.command import spawn

Stream = int | IO[Any] | None


@dataclass(frozen=True)
class Place:
    """``netns`` is a path, None for the node's own; ``root`` is a folder that becomes ``/``, None for the node's."""

    netns: str | None = None
    root: Path | None = None
    cwd: str | None = None

    def argv(self, words: Sequence[str]) -> list[str]:
        """``words`` as they must be started to see the files of this place."""
        if self.root is None:
            return list(words)
        # A mount namespace of its own: what the command mounts, the node does not see.
        into = ["unshare", "--mount", "--propagation=private", f"--root={self.root}", f"--wd={self.cwd or '/'}"]
        return [*into, "--", *words]

    def finds(self, program: str, path: str) -> bool:
        """Whether there is such a program here."""
        if self.root is None:
            return shutil.which(program, path=path) is not None
        folders = [""] if "/" in program else [folder for folder in path.split(":") if folder]
        # A folder of PATH that may not be entered holds no program, as for a shell; Path.exists would raise.
        return any(os.path.exists(f"{self.root}/{folder}/{program}") for folder in folders)  # noqa: PTH110

    async def spawn(
        self, words: Sequence[str], env: Mapping[str, str], stdin: Stream, stdout: Stream, stderr: Stream
    ) -> asyncio.subprocess.Process:
        """Start ``words`` here. Raises CommandFailed."""
        cwd = self.cwd if self.root is None else None
        return await spawn(
            self.argv(words), netns=self.netns, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr
        )
