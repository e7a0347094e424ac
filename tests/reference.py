"""The command reference, from what the commands say of themselves: `make docs` writes docs/commands.md with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from lab.cli import EMBEDDED, OWN

HEAD = """# The commands

Made by `make docs` from what each command says of itself (`virtlab COMMAND --help`).
"""
OF_RUN = re.compile(r"^virtlab:\n.*?(?=^\S)", re.MULTILINE | re.DOTALL)
"""Of `virtlab run --help`, which is pytest's, the options that are ours."""


def said(*words: str) -> str:
    """What a command prints on 100 columns, without colours."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTLAB_")}
    env |= {"COLUMNS": "100", "NO_COLOR": "1", "PYTHON_COLORS": "0"}
    argv = [sys.executable, "-m", "lab.cli", *words, "--help"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def section(name: str) -> str:
    """One command's part."""
    text = said(name)
    if name == "run":
        ours = OF_RUN.search(text)
        assert ours is not None, text
        text = f"usage: virtlab run [options] [pytest's own options] [features]\n\n{ours[0].strip()}"
    return f"## virtlab {name}\n\n```\n{text}\n```\n"


def text() -> str:
    """The whole page."""
    names = [*OWN, *EMBEDDED]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return "\n".join([HEAD, f"```\n{said()}\n```\n", *pool.map(section, names)])


if __name__ == "__main__":
    sys.stdout.write(text())
