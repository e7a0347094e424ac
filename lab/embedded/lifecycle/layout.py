"""Where a lab keeps its files, and the one lock that says whether it is up.

State lives under ``$XDG_STATE_HOME/virtlab/labs/NAME``, downloads under ``$XDG_CACHE_HOME/virtlab``.  The
supervisor holds the lock for as long as it lives, so the kernel answers "is it up?", even after
``kill -9``.  This room must not start or stop anything.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.embedded.host import folders


def cache_dir() -> Path:
    """Downloads and built images, shared by all labs of this user."""
    return folders.base("XDG_CACHE_HOME", ".cache") / "virtlab"


def labs_dir() -> Path:
    """One folder per lab."""
    return folders.labs()


@dataclass(frozen=True)
class Layout:
    """The files of one lab."""

    name: str

    @property
    def root(self) -> Path:
        return labs_dir() / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def restricted(self) -> Path:
        """The kubeconfig of `up --rbac`."""
        return self.root / "kubeconfig.restricted"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def nodes(self) -> Path:
        """The PID of each node's init, as the lab's own PID namespace numbers it."""
        return self.root / "nodes.json"

    @property
    def facts(self) -> Path:
        """What `up` found out, as JSON: host pid, API port, workers, tools."""
        return self.root / "lab.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def make(self) -> None:
        """Create the folders, closed to others. Raises HostForbids."""
        for folder in (self.root, self.pki, self.logs, self.root / "guests"):
            folders.make(folder, f"the lab {self.name!r}", "XDG_STATE_HOME")
            folder.chmod(0o700)

    def take_lock(self) -> int | None:
        """Take the lock and return its descriptor, or None when a supervisor holds it."""
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_up(self) -> bool:
        """True while a supervisor lives, whatever files say."""
        if not self.lock.exists():
            return False
        fd = self.take_lock()
        if fd is None:
            return True
        os.close(fd)
        return False

    def read_facts(self) -> dict[str, Any]:
        """What `up` wrote; empty when there is nothing readable."""
        try:
            found = json.loads(self.facts.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def existing() -> list[Layout]:
    """Every lab that has a folder, up or not."""
    if not labs_dir().is_dir():
        return []
    return [Layout(folder.name) for folder in sorted(labs_dir().iterdir()) if (folder / "lock").exists()]
