"""What may run beside what, and how the workers of a run are told apart: groups, names, the turn for the nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout
from lab.core.names import covers, ownership, part_of, selector
from lab.core.turn import Turn
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord, Verdict
from lab.parallel import merging
from lab.parallel.groups import Group, Kind, choose, groups

FEATURES = Path(__file__).parents[3] / "features"


def scenario(feature: str, name: str, *tags: str, steps: int = 1, said: str = "it works") -> ScenarioRecord:
    made = [StepRecord("Then", said)] * steps
    return ScenarioRecord(name, feature, f"features/{feature}/test_{feature}.py::{name}", list(tags), steps=made)


def grouped(*scenarios: ScenarioRecord, faults: bool = False) -> list[Group]:
    return groups([(FEATURES / s.feature / f"test_{s.feature}.py", s) for s in scenarios], faults=faults)


def test_the_scenarios_of_a_feature_stay_together_in_order() -> None:
    found = grouped(scenario("localnet", "a"), scenario("pod_network", "b"), scenario("localnet", "c", steps=3))
    assert [(g.number, g.feature, len(g.nodes), g.steps) for g in found] == [
        (1, "localnet", 2, 4),
        (2, "pod_network", 1, 1),
    ]


@pytest.mark.parametrize(
    ("feature", "tags", "said", "kind"),
    [
        ("pod_network", (), "it works", Kind.BESIDE),
        ("pod_network", ("needs:drain",), "it works", Kind.ALONE),
        ("localnet", (), "it works", Kind.NETWORKS),
        ("localnet", ("disruptive",), "it works", Kind.ALONE),
        ("bonding", ("needs:faults",), "it works", Kind.ALONE),
        ("pod_network", (), "the documented nmcli commands make br1", Kind.NETWORKS),
    ],
)
def test_what_a_feature_needs_of_a_shared_cluster(feature: str, tags: tuple[str, ...], said: str, kind: Kind) -> None:
    assert [g.kind for g in grouped(scenario(feature, "a", *tags, said=said))] == [kind]


def test_with_faults_of_the_run_every_feature_is_alone() -> None:
    assert [g.kind for g in grouped(scenario("pod_network", "a"), faults=True)] == [Kind.ALONE]


def group(number: int, kind: Kind, steps: int = 1) -> Group:
    return Group(number, f"f{number}", (f"n{number}",), kind, steps)


def test_on_a_shared_cluster_one_at_a_time_has_the_networks_and_who_disturbs_is_alone_and_last() -> None:
    a, b = group(1, Kind.ALONE, 9), group(2, Kind.NETWORKS)
    c, d = group(3, Kind.BESIDE, 8), group(4, Kind.NETWORKS, 5)
    assert choose([a, b, c, d], [], shared=True) == d
    assert choose([a, b, c], [d], shared=True) == c
    assert choose([a, b], [d, c], shared=True) is None
    assert choose([a, b], [c], shared=True) == b
    assert choose([a], [b], shared=True) is None
    assert choose([a], [], shared=True) == a
    assert choose([b, c], [a], shared=True) is None


def test_on_labs_of_their_own_the_longest_begins() -> None:
    a, b = group(1, Kind.ALONE, 3), group(2, Kind.NETWORKS, 7)
    assert choose([a, b], [group(3, Kind.ALONE)], shared=False) == b


def test_what_a_part_makes_is_found_by_part_and_by_run() -> None:
    part = part_of("r1", 3)
    assert ownership(part) == {**ownership("r1"), "virtlab.dev/part": "3"}
    assert selector(part) == "virtlab.dev/run=r1,virtlab.dev/part=3"
    assert [covers(run, part) for run in ("", "r1", "r1.3", "r1.4", "r")] == [True, True, True, False, False]
    assert not covers(part, "r1")


def test_the_turn_is_one_workers_and_names_him_and_is_free_when_he_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "nodes.turn"
    holds = (
        "import sys; from pathlib import Path; from lab.core.turn import Turn; from lab.core.deadline import Deadline;"
    )
    holds += "Turn(Path(sys.argv[1]), 'r1.2').take('x', Deadline.after(5)); print('held', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", holds, str(path)]
    mine = Turn(path, "r1.1")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=FEATURES.parent) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(EnvironmentTimeout) as raised:
            mine.take("the nodes' network", Deadline.after(0.1))
        assert "held by r1.2" in str(raised.value)
        other.kill()
    mine.take("the nodes' network", Deadline.after(10))
    mine.take("the nodes' network", Deadline.after(0))
    assert mine.held
    mine.give_back()
    mine.give_back()
    assert not mine.held


def records(tmp_path: Path) -> tuple[RunRecord, RunRecord]:
    """(the run's record, that of its second worker, which ran the last of three scenarios)."""
    run = RunRecord("r1", tmp_path / "r1", scenarios=[scenario("a", "x"), scenario("b", "y"), scenario("b", "z")])
    part = RunRecord("r1.2", merging.folder_of(run, 2), scenarios=[scenario("b", "y"), scenario("b", "z")])
    return run, part


def test_evidence_and_pictures_are_the_runs_own(tmp_path: Path) -> None:
    run, part = records(tmp_path)
    told = part.scenarios[1]
    told.verdict, told.evidence, told.picture = Verdict.FAILED, "evidence/02", "02"
    part.pictures = {"02": {"of": "z"}, "b": {"of": "b"}}
    part.phases, part.versions = {"clean-up": 1.5}, {"OVN": "24.03"}
    run.phases = {"clean-up": 1.0}
    assert merging.take(run, part, 2, told.node_id) is run.scenarios[2]
    merging.close(run, part)
    assert (run.scenarios[2].evidence, run.scenarios[2].picture) == ("parts/2/evidence/02", "03")
    assert run.pictures == {"03": {"of": "z"}}
    assert (run.phases, run.versions) == ({"clean-up": 2.5}, {"OVN": "24.03"})
    assert merging.take(run, part, 2, "of nobody") is None


def test_a_worker_that_is_gone_breaks_what_it_had_not_finished_and_is_blamed_once(tmp_path: Path) -> None:
    run, part = records(tmp_path)
    run.scenarios[1].started = "2026-01-01T00:00:00.000Z"
    log = merging.folder_of(run, 2) / merging.LOG
    log.parent.mkdir(parents=True)
    log.write_text("MemoryError\n")
    merging.lost(run, 2, Group(2, "b", tuple(s.node_id for s in part.scenarios), Kind.BESIDE, 2), -9)
    assert [s.verdict for s in run.scenarios] == ["", "broken", "broken"]
    first, second = (s.reason for s in run.scenarios[1:])
    assert "wanted: the worker of the feature b to run to its end" in first
    assert "found: it was ended by signal 9 while 'y' ran; it said last: MemoryError" in first
    assert f"where: {log}" in first
    assert "memory that ran out" in first
    assert second == "not finished, since its worker ended before: see 'y'"
    assert run.broken == first


def test_a_worker_that_ends_between_scenarios_breaks_the_run_though_all_have_verdicts(tmp_path: Path) -> None:
    run, _ = records(tmp_path)
    for one in run.scenarios[1:]:
        one.verdict, one.ended = Verdict.PASSED, "2026-01-01T00:00:00.000Z"
    merging.lost(run, 2, Group(2, "b", tuple(s.node_id for s in run.scenarios[1:]), Kind.BESIDE, 2), 3)
    assert [s.verdict for s in run.scenarios] == ["", "passed", "passed"]
    assert "it ended with exit status 3 between two scenarios, or while it put things back" in run.broken


def test_a_process_without_a_run_is_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.core.part import VARIABLE, Part

    monkeypatch.delenv(VARIABLE, raising=False)
    assert Part.of() is None
    reading, writing = os.pipe()
    part = Part("r1.1", "/x", "", "", writing)
    assert Part.of(part.environ) == part
    part.tell("began", "a::b c")
    assert os.read(reading, 100) == b"began a::b c\n"
    os.close(reading)
    os.close(writing)
    part.tell("began", "nobody hears it")
