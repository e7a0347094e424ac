"""Whether a daemon runs is told by its process, not by a file that it left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from lab.embedded.host.ovs import alive


def written(tmp_path: Path, pid: int) -> Path:
    file = tmp_path / "d.pid"
    file.write_text(f"{pid}\n")
    return file


def becomes(file: Path, *, running: bool) -> bool:
    """A process has no words for the blink of an eye after its start, and has them until its end is through."""
    end = time.monotonic() + 5
    while alive(file, "sleep") is not running and time.monotonic() < end:
        os.sched_yield()
    return alive(file, "sleep") is running


def test_one_that_runs_is_known_by_its_name(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        file = written(tmp_path, process.pid)
        assert becomes(file, running=True)
        # Numbers are used again: this one is somebody else's now.
        assert not alive(file, "ovs-vswitchd")
        process.kill()


def test_one_that_was_killed_and_that_nobody_has_waited_for_is_dead(tmp_path: Path) -> None:
    """An agent that is started anew at once found it, and left its node without a switch."""
    with subprocess.Popen(["sleep", "60"]) as process:
        file = written(tmp_path, process.pid)
        assert becomes(file, running=True)
        os.kill(process.pid, signal.SIGKILL)
        assert becomes(file, running=False)
        assert Path(f"/proc/{process.pid}").exists()


def test_no_file_or_nonsense_in_it_is_nobody(tmp_path: Path) -> None:
    assert not alive(tmp_path / "none.pid", "sleep")
    (tmp_path / "odd.pid").write_text("x")
    assert not alive(tmp_path / "odd.pid", "sleep")
