"""Runs the guest's own awk and shell files on this host, through a static busybox, as the guest would."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

GUEST = Path(__file__).parents[3] / "lab/embedded/images/guest"


def busybox() -> str:
    """A busybox with awk, from PATH or virtlab's cache; skips the test when there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtlab"
    for candidate in [shutil.which("busybox"), *map(str, cache.glob("root-*/**/bin/busybox"))]:
        if (
            candidate
            and subprocess.run([candidate, "awk", "BEGIN{}"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    pytest.skip("needs busybox with awk (`virtlab up` once puts one into the cache)")


def awk(scripts: list[str], *arguments: str) -> str:
    files = [part for script in scripts for part in ("-f", str(GUEST / script) if "/" not in script else script)]
    done = subprocess.run(
        [busybox(), "awk", *files, *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    assert not done.stderr, done.stderr
    return done.stdout
