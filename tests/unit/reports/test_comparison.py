"""What two sides of runs say of each other, and the numbers behind it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from lab.evidence.record import RunRecord
from reports import pages
from reports.cli import main as report
from reports.comparecli import main
from reports.comparison import REGRESSED, UNSEEN, compare
from reports.stats import rank_sum, shift
from tests.unit.evidence import records


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([19, 22, 16, 29, 24], [20, 11, 17, 12], 0.1111),
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70),
        ([1, 2], [3, 4], 2 / 6),
        ([5, 5, 5, 5], [5, 5, 5, 5], 1.0),
    ],
)
def test_the_rank_sum_test_gives_known_results(first: list[float], second: list[float], p: float) -> None:
    assert rank_sum(first, second) == pytest.approx(p, abs=2e-3)
    assert rank_sum(second, first) == pytest.approx(p, abs=2e-3)


def test_with_ties_it_comes_near_to_all_orders_counted_out() -> None:
    first, second = [1, 1, 2, 2, 3, 5], [2, 3, 3, 4, 4, 6]
    values = [*first, *second]

    def far(chosen: Sequence[int]) -> float:
        mine, others = [values[i] for i in chosen], [v for i, v in enumerate(values) if i not in chosen]
        return abs(sum((a > b) + 0.5 * (a == b) for a in mine for b in others) - 18)

    orders = [far(chosen) for chosen in combinations(range(12), 6)]
    counted = sum(distance >= far(range(6)) for distance in orders) / len(orders)
    assert rank_sum(first, second) == pytest.approx(counted, abs=0.03)


def test_by_chance_it_says_otherwise_once_in_twenty() -> None:
    rng = random.Random(7)
    wrong = sum(
        rank_sum([rng.expovariate(1) for _ in range(12)], [rng.expovariate(1) for _ in range(15)]) < 0.05
        for _ in range(400)
    )
    assert 5 <= wrong <= 35


def test_a_shift_of_few_values_is_told_and_not_judged() -> None:
    found = shift([100, 110], [300, 310])
    assert found is not None
    assert (found.by, found.p, found.counts) == (200, None, (2, 2))
    assert shift([], [1]) is None


def side(folder: Path, name: str, *verdicts: str, silences: tuple[float, ...] = (), **versions: str) -> RunRecord:
    made = records.record(folder / name, *verdicts, run_id=name)
    for number, ms in enumerate(silences):
        records.measured(made.scenarios[0], number, ms)
    made.versions |= versions
    made.write()
    return made


def test_each_scenario_is_in_the_one_list_that_says_what_became_of_it(tmp_path: Path) -> None:
    a = side(tmp_path, "a", "passed", "passed", "failed", "failed", "passed", "skipped", OVN="24.03")
    b = side(tmp_path, "b", "passed", "failed", "passed", "failed", "broken", "skipped", "passed", OVN="24.09")
    found = compare([a], [b])
    names = {
        name: [p.name[9] for p in getattr(found, name)] for name in ("failing", "fixed", "still", "unseen", "added")
    }
    assert names == {"failing": ["1"], "fixed": ["2"], "still": ["3"], "unseen": ["4"], "added": ["6"]}
    assert found.passed == 1
    assert found.versions == [("OVN", "24.03", "24.09")]
    assert (found.exit_code, found.sentence) == (REGRESSED, "Worse: 1 scenario fails anew.")
    assert compare([b], [b]).exit_code == 0


def test_what_passed_before_and_was_not_seen_is_no_pass(tmp_path: Path) -> None:
    a = side(tmp_path, "a", "passed", "passed")
    assert compare([a], [side(tmp_path, "b", "passed", "inconclusive")]).exit_code == UNSEEN
    assert compare([a], [side(tmp_path, "c", "passed")]).exit_code == UNSEEN


def test_flaky_is_what_both_passed_and_failed_on_one_side(tmp_path: Path) -> None:
    nights = [side(tmp_path, f"n{n}", "passed", "failed" if n == 1 else "passed") for n in range(3)]
    found = compare(nights, [side(tmp_path, "b", "passed", "passed")])
    assert [p.before for p in found.flaky] == [("passed", "failed", "passed")]
    assert found.exit_code == 0


def test_slower_is_by_half_and_by_seconds(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", "passed", "passed"), side(tmp_path, "b", "passed", "passed")
    a.scenarios[0].seconds, b.scenarios[0].seconds = 10, 16
    a.scenarios[1].seconds, b.scenarios[1].seconds = 1, 3
    assert [p.name for p in compare([a], [b]).slower] == [a.scenarios[0].name]


def test_longer_silences_close_the_gate_and_noise_does_not(tmp_path: Path) -> None:
    before = side(tmp_path, "a", "passed", silences=(180, 190, 200, 185, 195, 188))
    longer = side(tmp_path, "b", "passed", silences=(280, 300, 310, 290, 305, 295))
    noise = side(tmp_path, "c", "passed", silences=(182, 191, 199, 184, 196, 189))
    (one,) = compare([before], [longer]).silences
    assert one.verdict == "longer"
    assert one.shift.by == pytest.approx(107, abs=5)
    assert compare([before], [longer]).exit_code == REGRESSED
    assert compare([longer], [before]).silences[0].verdict == "shorter"
    assert compare([before], [noise]).exit_code == 0


def test_the_command_says_it_in_every_form_with_the_gates_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side(tmp_path, "a", "passed", "passed", silences=(180,))
    side(tmp_path, "b", "passed", "failed", silences=(900,), OVN="24.09")
    words = ["a", "b", "--out", str(tmp_path)]
    assert main(words) == REGRESSED
    out = capsys.readouterr().out
    for said in (
        "Worse: 1 scenario fails anew.",
        "fails anew",
        "180 -> 900 ms (+720 ms, too few to tell",
        "24.03.2 -> 24.09",
    ):
        assert said in out
    assert main([*words, "--json"]) == REGRESSED
    assert json.loads(capsys.readouterr().out)["exit_code"] == REGRESSED
    assert main([*words, "--markdown", "--html", str(tmp_path / "x.html")]) == REGRESSED
    assert capsys.readouterr().out.startswith("## Worse")
    assert "fails anew" in (tmp_path / "x.html").read_text().lower()
    assert main(["a", "a", "--out", str(tmp_path)]) == 0
    assert main(["a", "nowhere", "--out", str(tmp_path)]) == 2
    assert "wanted: the record of a run at nowhere" in capsys.readouterr().err


def test_the_site_has_every_run_with_its_evidence_and_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, site = tmp_path / "out", tmp_path / "site"
    side(out, "n1", "passed", "failed", silences=(180,))
    side(out, "n2", "passed", "passed", silences=(200,))
    (out / "n1" / "evidence" / "02").mkdir(parents=True)
    (out / "n1" / "evidence" / "02" / "index.txt").write_text("x")
    (out / "bad").mkdir()
    (out / "bad" / "run.json").write_text("{")
    assert report(["--site", str(site), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "(2 runs)" in said.out
    assert "left out: wanted the record of a run" in said.err
    index = (site / "index.html").read_text()
    assert 'href="runs/n1/report.html"' in index
    assert "1 of 2 passed" in index
    assert "trend" in index
    assert (site / "runs" / "n1" / "evidence" / "02" / "index.txt").is_file()
    assert 'href="evidence/02/index.txt"' in (site / "runs" / "n1" / "report.html").read_text()


def test_pages_of_hostile_runs_stay_pages(tmp_path: Path) -> None:
    a, b = side(tmp_path, "a", "passed"), side(tmp_path, "b", "failed")
    for run in (a, b):
        run.scenarios[0].name = run.scenarios[0].feature = run.scenarios[0].reason = records.HOSTILE
        run.versions = {"x": run.run_id + records.HOSTILE}
    b.scenarios[0].facts = [records.cause(records.HOSTILE)]
    for page in (pages.comparison(compare([a], [b])), pages.site([b, a], tmp_path / "site").read_text()):
        assert "<img" not in page
        assert "<script" not in page
        assert "\x1b" not in page
