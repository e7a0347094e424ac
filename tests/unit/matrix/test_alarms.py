"""What counts as a false alarm of a run without faults: everything but a run that passed, skips aside."""

from pathlib import Path
from typing import Any

from lab.evidence.record import RunRecord, ScenarioRecord
from tests.bench.alarms import alarms, skipped, turns


def record(*verdicts: str, **rest: Any) -> RunRecord:
    scenarios = [ScenarioRecord(f"scenario {n}", "a feature", f"n{n}", verdict=v) for n, v in enumerate(verdicts)]
    return RunRecord("r", Path("out"), scenarios=scenarios, **{"state": "finished", "exit_code": 0, **rest})


def test_a_run_that_passed_is_none_with_skips_too() -> None:
    made = record("passed", "skipped")
    made.scenarios[1].reason = "needs ipv6"
    assert alarms(made, 0, "1 passed") == []
    assert skipped(made) == ["scenario 1: needs ipv6"]


def test_every_other_verdict_is_one() -> None:
    made = record("passed", "failed", "broken", "inconclusive", "")
    made.scenarios[1].reason = "vm-a does not reach 192.0.2.1"
    found = alarms(made, 1, "1 failed")
    assert [one.split(":")[0] for one in found] == ["failed", "broken", "inconclusive", "not run"]
    assert "scenario 1" in found[0]
    assert "vm-a does not reach 192.0.2.1" in found[0]


def test_what_is_wrong_with_a_run_is_one_though_its_scenarios_passed() -> None:
    assert alarms(None, 4, "\nno lab\n\n") == ["no record, exit code 4: no lab"]
    assert alarms(record("passed", state="killed"), -9, "") == ["the run is killed: it printed nothing"]
    assert alarms(record("passed", leftovers=["pod x"]), 0, "") == ["left: pod x"]
    assert alarms(record("passed", broken="no API"), 10, "") == ["broken: no API"]
    assert alarms(record("passed"), 3, "bye") == ["exit code 3, {'passed': 1}: bye"]
    assert alarms(record("skipped"), 0, "bye") == ["exit code 0, {'skipped': 1}: bye"]


def test_features_come_equally_often() -> None:
    found = turns(["a", "b", "c"], 8, seed=1)
    assert [sorted(turn) for turn in found[:2]] == [["a", "b", "c"], ["a", "b", "c"]]
    assert len(found) == 3
    assert len(set(found[2])) == 2
    assert turns(["a", "b", "c"], 8, seed=1) == found != turns(["a", "b", "c"], 8, seed=3)
