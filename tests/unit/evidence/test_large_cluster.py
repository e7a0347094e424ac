"""Evidence of a hundred slow workers ends with its budget, says what it did not come to, and leaves nobody waiting."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.evidence.largecluster import ROOT

PROGRAM = """
import json, sys, time
from pathlib import Path
from lab.evidence.collect import collect
from tests.unit.evidence.largecluster import sources
with sources(Path(sys.argv[1]), 100, float(sys.argv[2])) as found:
    began = time.monotonic()
    files, missing = collect(found, Path(sys.argv[1]) / "e", 3.0)
    print(json.dumps([time.monotonic() - began, files, missing]))
"""


def collected(folder: Path, seconds: float) -> tuple[float, list[str], list[str]]:
    """In a program of its own, as a run is: threads of a pool are waited for at its end."""
    argv = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), str(seconds)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    took, files, missing = json.loads(done.stdout)
    return took, files, missing


def test_a_hundred_slow_workers_take_no_longer_than_the_budget(tmp_path: Path) -> None:
    took, files, missing = collected(tmp_path, 0.7)
    # Generous for a busy machine: without the bound it is over 8 s of answers alone.
    assert took < 6.0
    assert "objects/node.yaml" in files
    assert [name for name in files if name.startswith("nodes/worker-000/")] == ["nodes/worker-000/ip-link.txt"]
    late = [line for line in missing if line.startswith("nodes/worker-") and line.endswith(": not done within 3 s")]
    assert late
    assert late[-1] in (tmp_path / "e" / "index.txt").read_text()


def test_workers_that_never_answer_in_time_do_not_keep_the_program(tmp_path: Path) -> None:
    began = time.monotonic()
    _, _, missing = collected(tmp_path, 30.0)
    assert len(missing) > 100
    assert time.monotonic() - began < 20.0
