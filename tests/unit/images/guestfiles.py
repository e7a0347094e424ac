"""Runs the guest's own awk and shell files on this host, through a static busybox, as the guest would."""

import subprocess
from pathlib import Path

GUEST = Path(__file__).parents[3] / "lab/embedded/images/guest"


def awk(scripts: list[str], *arguments: str) -> str:
    files = [part for script in scripts for part in ("-f", str(GUEST / script) if "/" not in script else script)]
    done = subprocess.run(
        ["busybox", "awk", *files, *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    assert not done.stderr, done.stderr
    return done.stdout
