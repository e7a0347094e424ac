"""The record: written whole or not at all, read back, judged by its worst; evidence that half fails."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lab.evidence.collect import dump
from lab.evidence.reading import load
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict, write_atomically
from lab.evidence.tasks import Task, run_tasks


def record(folder: Path, *verdicts: str) -> RunRecord:
    made = RunRecord("r1", folder)
    made.scenarios = [
        ScenarioRecord(f"s{i}", "f", f"n{i}", verdict=v, steps=[StepRecord("Given", "x", "passed")])
        for i, v in enumerate(verdicts)
    ]
    return made


def test_a_record_is_read_back_as_written(tmp_path: Path) -> None:
    made = record(tmp_path, "passed", "failed")
    made.finish("finished", 1)
    found = load(made.path)
    assert found.document() == made.document()
    assert json.loads(made.path.read_text())["verdict"] == "failed"


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["passed", "skipped"], Verdict.PASSED),
        (["skipped"], Verdict.SKIPPED),
        (["passed", "inconclusive"], Verdict.INCONCLUSIVE),
        (["broken", "inconclusive"], Verdict.BROKEN),
        (["broken", "failed"], Verdict.FAILED),
        ([], Verdict.SKIPPED),
    ],
)
def test_the_worst_verdict_stands_for_the_run(tmp_path: Path, verdicts: list[str], worst: Verdict) -> None:
    assert record(tmp_path, *verdicts).verdict() is worst


def test_a_write_that_fails_leaves_the_old_record(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, "old")
    with pytest.raises(AttributeError):
        write_atomically(path, 5)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_collectors_that_fail_or_hang_are_listed_and_keep_nobody(tmp_path: Path) -> None:
    release = threading.Event()

    def broken() -> str:
        raise ValueError("no such pod")

    def slow() -> str:
        release.wait(10)
        return ""

    failed = run_tasks([Task("a.txt", lambda: "A"), Task("b.txt", broken), Task("c.txt", slow)], tmp_path, 0.3)
    release.set()
    assert failed == ["b.txt: ValueError: no such pod", "c.txt: not done within 0.3 s"]
    assert (tmp_path / "a.txt").read_text() == "A"
    assert "could not be taken:\nb.txt" in (tmp_path / "index.txt").read_text()


def test_objects_are_dumped_without_secrets_and_managed_fields() -> None:
    text = dump([{"metadata": {"name": "x", "managedFields": [1]}, "spec": {"v": [{"userData": "password: y"}]}}])
    assert "managedFields" not in text
    assert "password: y" not in text
    assert "name: x" in text
