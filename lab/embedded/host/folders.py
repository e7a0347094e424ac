"""Folders of virtlab's own, and what to say when the host has no room for them.

It must not make any folder that it was not asked for, nor change one of somebody else.
"""

from __future__ import annotations

import os
from pathlib import Path

from lab.embedded.errors import HostForbids


def base(variable: str, fallback: str) -> Path:
    """The folder that an XDG variable names, else ``~/fallback``. Raises HostForbids when there is no home.

    A relative path in the variable is ignored (XDG Base Directory Specification).
    """
    chosen = os.environ.get(variable, "")
    if chosen.startswith("/"):
        return Path(chosen)
    try:
        return Path.home() / fallback
    except RuntimeError as error:
        raise HostForbids(
            "wanted a home folder for virtlab's files", str(error), advice=f"set HOME, or {variable} to a folder"
        ) from error


def labs() -> Path:
    """Where each lab of this user has its folder. Raises HostForbids when there is no home."""
    return base("XDG_STATE_HOME", ".local/state") / "virtlab" / "labs"


def make(folder: Path, purpose: str, variable: str) -> None:
    """Make a folder with its parents. Raises HostForbids, naming the variable that moves it elsewhere."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "it is not writable for this user", str(folder))
    except OSError as error:
        raise HostForbids(
            f"wanted a folder for {purpose}",
            error.strerror or str(error),
            where=str(folder),
            advice=f"set {variable} to a folder that you may write to",
        ) from error
