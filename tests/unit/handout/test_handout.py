"""A worker for each core; half of them at most have a file with a lab, and each file is handed out once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests.handout import Handout, has_lab, workers

LABS = [
    "tests/harness/test_releases.py",
    "tests/harness/test_traffic_truth.py",
    "tests/unit/nmstate/test_nmstate_lab.py",
]
OTHERS = ["tests/unit/core/test_core_wait.py", "tests/unit/core/test_core_process.py", "tests/unit/ovn/test_live.py"]


class Worker:
    """What the scheduler sees of one: it is told numbers of tests, and tells when one is over."""

    shutting_down, gateway = False, SimpleNamespace(id="gw")

    def __init__(self, collected: list[str]) -> None:
        self.collected, self.waiting = collected, list[int]()

    def send_runtest_some(self, numbers: list[int]) -> None:
        self.waiting += numbers

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def at(self) -> str:
        """The file whose test it runs, if any."""
        return self.collected[self.waiting[0]].partition("::")[0] if self.waiting else ""


def played(files: list[str], workers: int) -> list[list[str]]:
    """What the workers were at, moment by moment, where each test takes as long as every other."""
    collected = [f"{file}::test_{number}" for file in files for number in range(4)]
    option = SimpleNamespace(loadscopereorder=True, tx=["popen"] * workers, maxprocesses=None)
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: getattr(option, name))
    handout, crew = Handout(config, Producer("test", enabled=False)), [Worker(collected) for _ in range(workers)]
    for worker in crew:
        handout.add_node(worker)
        handout.add_node_collection(worker, collected)
    handout.schedule()
    moments = []
    while any(worker.waiting for worker in crew):
        moments.append([worker.at for worker in crew])
        for worker in crew:
            if worker.waiting:
                handout.mark_test_complete(worker, worker.waiting.pop(0))
    return moments


def labs(moment: list[str]) -> int:
    return sum(bool(file) and has_lab(file) for file in moment)


@pytest.mark.parametrize("files", [LABS + OTHERS, OTHERS + LABS], ids=["labs first", "labs last"])
@pytest.mark.parametrize("workers", [2, 4])
def test_half_of_the_workers_have_a_lab_while_there_is_something_else(files: list[str], workers: int) -> None:
    moments = played(files, workers)
    assert all(labs(moment) == workers // 2 for moment in moments[:4])
    assert sum(bool(file) for moment in moments for file in moment) == 4 * len(files)


def test_at_the_end_every_worker_takes_what_is_left() -> None:
    assert [labs(moment) for moment in played(LABS, 2)][:4] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 8),
    ],
)
def test_a_container_has_as_many_as_its_share_of_the_cores(
    told: dict[str, str], wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu").mkdir()
    for name, text in told.items():
        (tmp_path / name).write_text(text)
    assert workers(tmp_path) == wanted


def test_one_worker_takes_all() -> None:
    moments = played(LABS + OTHERS, 1)
    assert {file for (file,) in moments} == {*LABS, *OTHERS}
    assert len(moments) == 24
