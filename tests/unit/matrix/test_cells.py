"""The fault matrix as data: what of a record counts as detected, as explained, as a false alarm."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import parse
import pytest

from lab.embedded.errors import UsageError
from lab.embedded.faults.catalogue import FAULTS, find
from lab.embedded.faults.catalogue import parse as words_of
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord
from steps.types import TYPES
from tests.matrix import cells, table
from tests.matrix.cells import Cell, Group

RED = Cell("vlan-missing node={node} vlan=2024", ("failed",), ("{node}", "VLAN 2024"))
GREEN = Cell("gateway-down vlan=1993", ("passed",))
MISSED = Cell("duplicate-ip vlan=2024 address=192.168.24.1", ("passed",), (), "either host answers")
GROUP = Group("features/localnet", "VM reaches", "x", (RED, GREEN, MISSED))


def scenario(cell: Cell, verdict: str, reason: str = "", made: str = "") -> ScenarioRecord:
    facts = [{"sort": "fault", "words": made, "healed": False}] if made else []
    return ScenarioRecord(
        f"VM reaches [{cell.fault}]", "localnet", "n", verdict=verdict, reason=reason, seconds=7.26, facts=facts
    )


def judged(*scenarios: ScenarioRecord) -> list[cells.Outcome]:
    return cells.outcomes(GROUP, [RunRecord("r1", Path("out/r1"), scenarios=list(scenarios))])


def test_a_red_cell_whose_first_line_has_all_the_words_is_detected_and_explained() -> None:
    reason = "wanted: an answer\nfound: VM on worker-2: none; VLAN 2024 does not pass worker-2\nwhere: here"
    red, green, missed = judged(
        scenario(RED, "failed", reason, "vlan-missing node=worker-2 vlan=2024"),
        scenario(GREEN, "passed"),
        scenario(MISSED, "passed"),
    )
    assert (red.detected, red.right_cause, red.words) == (True, True, ())
    assert not green.to_detect
    assert not green.false_alarm
    assert missed.to_detect
    assert not missed.detected
    rates = table.rates([red, green, missed])
    assert rates == {"detected": (1, 2), "right cause": (1, 1), "not run": (0, 3), "false alarms": (0, 1)}


MADE = "vlan-missing node=worker-2 vlan=2024"


def test_the_cause_in_a_later_line_or_of_another_worker_is_not_the_cause() -> None:
    late = judged(scenario(RED, "failed", "found: no answer\nVLAN 2024 on worker-2", MADE))[0]
    other = judged(scenario(RED, "failed", "found: VLAN 2024 does not pass worker-1", MADE))[0]
    assert (late.detected, late.right_cause, late.words) == (True, False, ("worker-2", "VLAN 2024"))
    assert other.words == ("worker-2",)


def test_a_cause_that_only_one_of_the_two_reports_names_is_not_explained() -> None:
    seen = scenario(RED, "failed", "found: no answer", MADE)
    told = {"sort": "cause", "text": "VLAN 2024 does not pass <worker-2>"}
    only_page = judged(replace(seen, facts=[*seen.facts, told]))[0]
    assert only_page.line == "VLAN 2024 does not pass <worker-2>", "as a reader sees it, and not as it is written"
    assert (only_page.words, only_page.unsaid) == ((), ("worker-2", "VLAN 2024"))
    assert not only_page.right_cause
    page = table.page([only_page], "FAULT", {})
    assert "the report on the terminal does not say worker-2, VLAN 2024" in page


def test_of_a_cell_that_ran_in_several_runs_the_last_counts() -> None:
    runs = [RunRecord("r", Path("out/r"), scenarios=[scenario(GREEN, verdict)]) for verdict in ("failed", "passed", "")]
    assert cells.outcomes(GROUP, runs)[1].verdict == "passed"


def test_what_passes_that_should_not_what_fails_that_should_not_and_what_never_ran() -> None:
    red, green, missing = judged(scenario(RED, "passed"), scenario(GREEN, "broken", "found: the API is gone"))
    assert not red.detected
    assert green.false_alarm
    assert (missing.verdict, missing.expected) == ("not run", False)
    page = table.page([red, green, missing], "FAULT", {"loss": "it is over"})
    assert "- `loss`: it is over" in page
    assert "- `gateway-down vlan=1993`: broken, wanted passed" in page
    assert "- `duplicate-ip vlan=2024 address=192.168.24.1`: expected to be missed, either host answers" in page
    assert "| not run | 1 of 3 (33 %) |" in page


@pytest.mark.parametrize("cell", [cell for group in cells.load() for cell in group.cells], ids=lambda c: c.fault)
def test_every_cell_names_a_fault_of_the_catalogue_with_its_parameters(cell: Cell) -> None:
    for words in cell.fault.removeprefix("start:").split(" + "):
        name, *arguments = words.split()
        words_of(find(name), arguments)


def test_every_fault_of_the_catalogue_must_be_noticed_somewhere_or_it_is_written_why_not() -> None:
    noticed = {
        words.split()[0]
        for group in cells.load()
        for cell in group.cells
        if "passed" not in cell.verdicts
        for words in cell.fault.removeprefix("start:").split(" + ")
    }
    reasons = cells.unnoticed()
    assert {fault.name for fault in FAULTS} == noticed | set(reasons)
    assert noticed & set(reasons) == set(), "what is noticed needs no reason"


def test_a_fault_that_is_none_is_said() -> None:
    with pytest.raises(UsageError):
        find("nothing-of-the-kind")


def test_the_sample_is_a_part_of_the_matrix() -> None:
    groups = cells.load()
    chosen = [cell for group in cells.sample(groups) for cell in group.cells]
    assert 0 < len(chosen) < sum(len(group.cells) for group in groups)
    assert {cell.verdicts for cell in chosen} >= {("passed",), ("failed",)}


def test_a_cell_that_must_turn_one_sentence_red_is_not_content_with_another() -> None:
    cell = replace(RED, red="vm-b reaches vm-a")
    group = replace(GROUP, cells=(cell,))
    steps = [StepRecord("Then", "vm-a reaches vm-b", "passed"), StepRecord("And", "vm-b reaches vm-a", "failed")]
    seen = scenario(RED, "failed", "found: VLAN 2024 does not pass worker-2", MADE)
    (one,) = cells.outcomes(group, [RunRecord("r1", Path("r1"), scenarios=[replace(seen, steps=steps)])])
    assert (one.expected, one.detected, one.red) == (True, True, "vm-b reaches vm-a")
    steps[0] = replace(steps[0], status="failed")
    (one,) = cells.outcomes(group, [RunRecord("r1", Path("r1"), scenarios=[replace(seen, steps=steps)])])
    assert (one.expected, one.detected) == (False, False)
    assert "      red was: vm-a reaches vm-b: VLAN 2024 does not pass worker-2" in table.lines([one], 1)[1]
    assert "failed, but by 'vm-a reaches vm-b'" in table.page([one], "", {})


def test_a_page_keeps_what_the_last_runs_have_not() -> None:
    reason = "wanted: an answer\nfound: VLAN 2024 | it does not pass worker-2"
    first = judged(scenario(RED, "failed", reason, MADE), scenario(GREEN, "passed"))
    page = table.page(first, "", {})
    again = table.onto(page, [GROUP], judged(scenario(MISSED, "passed")))
    assert [(one.verdict, one.line) for one in again] == [
        ("failed", "wanted an answer; found VLAN 2024 | it does not pass worker-2"),
        ("passed", ""),
        ("passed", ""),
    ]
    assert "3 of 3 cells ran, 1 of them for the last time in" in table.page(again, "", {})
    named = replace(GROUP, cells=(replace(RED, cause=("not said",)), GREEN, MISSED))
    assert table.onto(page, [named], judged())[0].words == ("not said",)


ROOT = Path(__file__).parents[3]
SENTENCE = re.compile(r'^@(?:then|when)\((?:sentence\()?"(.*?)"\)', re.M)
STEPS = [text for name in ("probes", "traffic") for text in SENTENCE.findall((ROOT / f"steps/{name}.py").read_text())]
RED_ALONE = {cell.red for group in cells.load() for cell in group.cells if cell.red}


@pytest.mark.parametrize("text", STEPS)
def test_each_sentence_on_looks_and_traffic_is_red_by_a_cell_of_its_own_or_it_is_written_why_not(text: str) -> None:
    sentence = parse.compile(text, extra_types=TYPES)
    turned = [red for red in RED_ALONE if sentence.parse(red) is not None]
    assert bool(turned) is not (text in cells.unproven()), text


def test_what_must_be_red_is_a_sentence_of_the_scenario_that_the_cell_runs() -> None:
    feature = (ROOT / "tests/matrix/sentences/sentences.feature").read_text()
    for group in cells.load():
        body = feature.partition(f"Scenario: {group.scenario}\n")[2].partition("Scenario:")[0]
        assert [cell.red for cell in group.cells if cell.red and f" {cell.red}\n" not in body] == []


def test_no_reason_is_for_a_sentence_that_is_none() -> None:
    assert set(cells.unproven()) <= set(STEPS)


@pytest.mark.parametrize("cell", [cell for group in cells.load() for cell in group.cells], ids=lambda c: c.fault)
def test_a_cause_names_only_what_its_fault_is_made_with(cell: Cell) -> None:
    known = cells.values(cell.fault.removeprefix("start:"))
    assert [word for word in cell.cause for name in re.findall(r"{(\w+)}", word) if name not in known] == []
