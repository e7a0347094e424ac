"""Records read back: older, newer, cut off, killed, wrong at a place, each said for what it is; the schema is true."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lab.core import facts
from lab.core.errors import UsageError
from lab.evidence import reading
from lab.evidence.reading import find, load
from lab.evidence.record import SCHEMA, RunRecord, ScenarioRecord, StepRecord
from tests.unit.evidence import records

REAL = sorted(Path(__file__).with_name("real").glob("*.json"))


def written(folder: Path, *verdicts: str) -> RunRecord:
    made = records.record(folder, *verdicts)
    made.write()
    return made


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_records_of_real_runs_of_every_schema_are_read(path: Path) -> None:
    found = load(path)
    assert found.scenarios
    assert all(s.steps for s in found.scenarios)


def test_there_is_a_real_record_of_each_schema() -> None:
    assert {json.loads(path.read_text())["schema"] for path in REAL} == set(range(1, SCHEMA + 1))


def test_the_schema_is_one_and_names_every_field() -> None:
    schema = reading.schema()
    Draft202012Validator.check_schema(schema)
    defined = schema["$defs"]
    assert {f.name for f in fields(RunRecord)} - {"folder"} <= set(schema["properties"])
    assert {f.name for f in fields(ScenarioRecord)} == set(defined["scenario"]["properties"])
    assert {f.name for f in fields(StepRecord)} == set(defined["step"]["properties"])
    for kind in (facts.Check, facts.Cause, facts.Migration, facts.Policy, facts.Routes, facts.Fault):
        assert {f.name for f in fields(kind)} == set(defined[kind.sort]["properties"]), kind


def test_what_is_written_meets_the_schema_with_every_sort_of_fact(tmp_path: Path) -> None:
    made = records.record(tmp_path, "passed", "failed", "broken", "inconclusive", "skipped", "")
    policy = facts.document(facts.Policy("p", {"worker-1": "Available"})) | {"step": -1}
    fault = facts.document(facts.Fault("vlan-missing node=worker-2")) | {"step": 0}
    made.scenarios[0].facts = [records.migration(), records.routes(), policy, fault]
    made.write()
    assert list(Draft202012Validator(reading.schema()).iter_errors(json.loads(made.path.read_text()))) == []
    assert load(made.path).document()["scenarios"] == json.loads(json.dumps(made.document()["scenarios"]))


def test_an_unknown_sort_of_fact_and_an_unknown_field_pass(tmp_path: Path) -> None:
    made = written(tmp_path, "passed")
    body = json.loads(made.path.read_text())
    body["scenarios"][0]["facts"] = [{"sort": "of-tomorrow", "step": 0, "x": 1}]
    body["tomorrow"] = body["scenarios"][0]["tomorrow"] = 1
    made.path.write_text(json.dumps(body))
    assert load(made.path).scenarios[0].facts[0]["x"] == 1


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"schema": 99}')
    with pytest.raises(UsageError, match=r"schema 1 to 2 .*\n.*schema 99, which a newer virtlab wrote"):
        load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it ends after 0 characters"),
        ("[]", "without a schema number"),
        ('{"schema": "2"}', "without a schema number"),
        ('{"schema": 0}', "schema 0"),
        ('{"schema": 2, "run_i', "nothing of it can be read"),
    ],
)
def test_what_is_no_record_is_refused_with_what_it_is(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load(path)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("scenarios", 0, "verdict"), "great", r"'great' is not one of.*\nwhere: scenarios\[0\].verdict"),
        (("scenarios", 1, "steps", 2, "seconds"), "long", r"where: scenarios\[1\].steps\[2\].seconds"),
        (("scenarios", 1, "facts", 0, "held"), "yes", r"where: scenarios\[1\].facts\[0\].held"),
        (("run_id",), 5, "where: run_id"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, place: tuple[Any, ...], value: Any, said: str) -> None:
    made = written(tmp_path, "passed", "failed")
    body = json.loads(made.path.read_text())
    at = body
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    made.path.write_text(json.dumps(body))
    with pytest.raises(UsageError, match=said):
        load(made.path)


def test_of_a_record_that_was_cut_off_whole_scenarios_are_taken_and_it_says_so(tmp_path: Path) -> None:
    made = written(tmp_path, "passed", "failed", "passed")
    text = made.path.read_text()
    made.path.write_text(text[: text.rindex('{"name": "Scenario 2') + 40])
    found = load(made.path)
    assert [s.verdict for s in found.scenarios] == ["passed", "failed"]
    assert found.state == "cut off"
    assert "the record is cut off" in found.broken


def test_a_record_whose_process_is_gone_is_of_a_killed_run(tmp_path: Path) -> None:
    made = records.record(tmp_path, "passed", "")
    made.state = "running"
    made.write()
    assert load(made.path).state == "running"
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    made.process = {"pid": pid, "host": socket.gethostname()}
    made.write()
    assert load(made.path).state == "killed"
    made.process["host"] = "elsewhere"
    made.write()
    assert load(made.path).state == "running"


def test_a_run_is_found_by_file_folder_id_and_as_the_latest(tmp_path: Path) -> None:
    first = written(tmp_path / "a", "passed")
    os.utime(first.path, (1, 1))
    second = written(tmp_path / "b", "passed")
    assert find(first.path) == first.path
    assert find(tmp_path / "a") == first.path
    assert find(Path("a"), tmp_path) == first.path
    assert find(Path("latest"), tmp_path) == second.path
    with pytest.raises(UsageError, match=r"last runs in .*: a, b"):
        find(Path("c"), tmp_path)


def test_a_disk_that_takes_nothing_ends_no_run_and_is_said(tmp_path: Path) -> None:
    made = records.record(tmp_path / "file", "passed")
    (tmp_path / "file").write_text("in the way")
    made.write()
    assert "file" in made.unwritten
    (tmp_path / "file").unlink()
    made.write()
    assert made.unwritten == ""
    assert load(made.path).counts() == {"passed": 1}


def test_a_large_record_costs_little_while_it_grows(tmp_path: Path) -> None:
    """What has ended is not put into words again: that alone would take half a minute here."""
    made = records.large(tmp_path)
    for scenario in made.scenarios:
        scenario.ended = scenario.ended or "x"
    began = time.process_time()
    for _ in range(1000):
        made.write()
    assert time.process_time() - began < 15
    assert len(load(made.path).scenarios) == 500
