"""Tests run side by side, except beside one that is to be alone; and that one is not kept waiting."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import turns
from tests.conftest import ROOT

LONG_S, SOON_S = 30.0, 0.3


@pytest.fixture
def locks(tmp_path: Path) -> dict[str, Path]:
    """Own ones: those of the real workers are in use."""
    made = {"gate": tmp_path / "gate", "room": tmp_path / "room"}
    for path in made.values():
        path.touch()
    return made


class Other(threading.Thread):
    """Another worker with one test: it is in when it runs, and ends when it is told to."""

    def __init__(self, locks: dict[str, Path], *, alone: bool) -> None:
        super().__init__(daemon=True)
        self.locks, self.alone = locks, alone
        self.inside, self.enough = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with turns.turn(alone=self.alone, **self.locks):
            self.inside.set()
            self.enough.wait(LONG_S)

    def end(self) -> None:
        self.enough.set()
        self.join(LONG_S)


def test_two_run_side_by_side(locks: dict[str, Path]) -> None:
    other = Other(locks, alone=False)
    assert other.inside.wait(LONG_S)
    with turns.turn(alone=False, **locks):
        assert other.is_alive()
    other.end()


@pytest.mark.parametrize("first", [True, False], ids=["it comes first", "it comes second"])
def test_one_that_is_to_be_alone_is(first: bool, locks: dict[str, Path]) -> None:
    other = Other(locks, alone=first)
    assert other.inside.wait(LONG_S)
    second = Other(locks, alone=not first)
    assert not second.inside.wait(SOON_S)
    other.end()
    assert second.inside.wait(LONG_S)
    second.end()


def test_who_comes_later_does_not_come_before_it(locks: dict[str, Path]) -> None:
    running = Other(locks, alone=False)
    assert running.inside.wait(LONG_S)
    alone = Other(locks, alone=True)
    assert not alone.inside.wait(SOON_S)
    later = Other(locks, alone=False)
    assert not later.inside.wait(SOON_S)
    running.end()
    assert alone.inside.wait(LONG_S)
    assert not later.inside.is_set()
    alone.end()
    assert later.inside.wait(LONG_S)
    later.end()


def test_a_worker_that_is_killed_keeps_nobody(locks: dict[str, Path]) -> None:
    said = (
        "import sys, time; from pathlib import Path; from tests.turns import turn\n"
        "with turn(alone=True, gate=Path(sys.argv[1]), room=Path(sys.argv[2])):\n"
        "    print('in', flush=True); time.sleep(30)\n"
    )
    argv = [sys.executable, "-c", said, str(locks["gate"]), str(locks["room"])]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "in\n"
        worker.kill()
    with turns.turn(alone=True, **locks):
        pass
