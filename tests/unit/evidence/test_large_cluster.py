"""Evidence of a hundred slow workers ends with its budget, says what it did not come to, and leaves nobody waiting."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from lab.evidence.collect import collect
from tests.unit.evidence.largecluster import ROOT, sources

PROGRAM = """
import sys
from pathlib import Path
from lab.evidence.collect import collect
from tests.unit.evidence.largecluster import sources
with sources(Path(sys.argv[1]), 100, 5.0) as found:
    files, missing = collect(found, Path(sys.argv[1]) / "e", 2.0)
print(len(files), len(missing))
"""


def test_a_hundred_slow_workers_take_no_longer_than_the_budget(tmp_path: Path) -> None:
    with sources(tmp_path, 100, 0.7) as found:
        began = time.monotonic()
        files, missing = collect(found, tmp_path / "e", 3.0)
        took = time.monotonic() - began
    # Generous for a busy machine: without the bound it is over 8 s of answers alone.
    assert took < 6.0
    assert "objects/node.yaml" in files
    assert [name for name in files if name.startswith("nodes/worker-000/")] == ["nodes/worker-000/ip-link.txt"]
    assert "nodes/worker-099: not done within 3 s" in missing
    index = (tmp_path / "e" / "index.txt").read_text()
    assert "nodes/worker-099: not done within 3 s" in index


def test_the_program_ends_then_too(tmp_path: Path) -> None:
    """Threads of a pool are waited for at a program's end: what they still wait for must end with the budget."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 100
    assert time.monotonic() - began < 15.0
