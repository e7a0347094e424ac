"""What all tests share: the tools of the embedded lab, and labs of their own for tests that need one.

Tools come from where `virtlab up` takes them, so that a test does not depend on what a host has installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.host.tools import find_tools
from lab.embedded.lifecycle.layout import cache_dir
from tests import turns, wire

ROOT = Path(__file__).resolve().parent.parent
# As a person has it: a lab finds its tools itself.
PLAIN_ENV = dict(os.environ)
VIRTLAB = [sys.executable, "-m", "lab.cli"]


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """The lab's tools on PATH, for everything that a test starts."""
    found = find_tools(cache_dir(), progress=lambda line: print(line, file=sys.stderr))
    os.environ.update(found.env)
    # A shell starts what runs in its background deaf to Ctrl-C, and so would be whatever a test interrupts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` is."""
    from tests.handout import workers

    return workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Who gets which file, where pytest is asked for workers (`-n`)."""
    from tests.handout import Handout

    return Handout(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Where there are workers, each test waits for its turn."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@dataclass(frozen=True)
class RunningLab:
    """A lab of a test's own; `env` names it to every command."""

    env: Mapping[str, str]
    folder: Path

    @property
    def audit_log(self) -> Path:
        """What was asked of its API."""
        return Path(self.env["XDG_STATE_HOME"], "virtlab", "labs", self.env["VIRTLAB_NAME"], "logs", "audit.log")

    def virtlab(self, *words: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `virtlab WORDS` as a person would."""
        env = {**PLAIN_ENV, **self.env}
        return subprocess.run(
            [*VIRTLAB, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *words: str, timeout: float = 400.0) -> tuple[int, dict[str, Any], str]:
        """`virtlab run`: its exit code, its record and what it printed."""
        out = self.folder / "out"
        done = self.virtlab("run", "--target", "targets/embedded.yaml", "--out", str(out), *words, timeout=timeout)
        newest = max(out.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
        return done.returncode, json.loads(newest.read_text()), done.stdout + done.stderr


@contextmanager
def lab_up(folder: Path, *words: str) -> Iterator[RunningLab]:
    """A lab brought up with these words, and gone afterwards.

    What the harness sent to it is looked at in the end: it must be what upstream knows, and what its role allows.
    """
    made = RunningLab({"XDG_STATE_HOME": str(folder / "state"), "VIRTLAB_NAME": f"t{os.getpid()}"}, folder)
    up = made.virtlab("up", *words, timeout=300)
    assert up.returncode == 0, up.stderr
    try:
        yield made
    finally:
        sent = wire.problems(made.audit_log) if made.audit_log.exists() else []
        made.virtlab("down", "--purge")
    assert sent == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab with three workers, up for the module and gone after it."""
    with lab_up(tmp_path_factory.mktemp("lab")) as made:
        yield made
