"""Lines with and without a tty, in colour and without, whatever a guest sends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord
from reports.terminal import Terminal, clean


class Tty(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


class Plain(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]


class Ascii(io.StringIO):
    encoding = "ascii"  # type: ignore[assignment]


def test_control_characters_are_spelled_out() -> None:
    assert clean("a\x1b[2Jb\rc\nd\u202e") == "a\\x1b[2Jb\\rc\nd\\u202e"


def test_a_tty_has_a_moving_line_that_the_next_line_replaces() -> None:
    out = Tty()
    terminal = Terminal(out, {"TERM": "xterm"})
    terminal.wait("VM a", "phase Scheduling", 8, 120)
    terminal.line("next")
    assert "VM a: phase Scheduling (8s of 120s)" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[2Knext\n")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_when_not_wanted(environ: dict[str, str]) -> None:
    out = Tty()
    terminal = Terminal(out, environ)
    terminal.step_ended(StepRecord("Given", "x", "passed", seconds=1.0))
    assert "\x1b[3" not in out.getvalue()


def test_without_a_tty_there_are_plain_lines_and_no_escape() -> None:
    out = io.StringIO()
    terminal = Terminal(out, {})
    terminal.moving("never seen")
    terminal.wait("VM a", "phase \x1b[31mPending", 3, 0)
    terminal.step_ended(StepRecord("Then", "y", "failed", seconds=2.0, message="wanted: z\nfound: q"))
    text = out.getvalue()
    assert "never seen" not in text
    assert "\x1b" not in text
    assert "      wanted: z\n      found: q\n" in text


def quiet(verdict: str, out: io.StringIO) -> str:
    """What is seen of a scenario with one step, two notes, a short and a long wait."""
    terminal = Terminal(out, {"TERM": "xterm"}, quiet=True)
    scenario = ScenarioRecord("Name", "feature", "1", verdict=verdict, reason="why", seconds=3.0)
    terminal.scenario(3, 12, scenario)
    terminal.wait("VM a", "Pending", 2, 60)
    terminal.note("a remark")
    terminal.step_ended(StepRecord("Then", "it works", verdict, message="" if verdict == "passed" else "wanted: x"))
    terminal.wait("VM b", "Pending", 12, 60)
    terminal.scenario_ended(scenario, explained=True)
    return out.getvalue()


def test_a_quiet_pass_is_one_line_and_what_takes_long_names_its_scenario() -> None:
    assert quiet("passed", Plain()) == ("[ 3/12] … VM b: Pending (12s of 60s)\n[ 3/12] ✓ feature: Name  3.0s\n")


def test_a_quiet_failure_is_loud() -> None:
    assert quiet("failed", Plain()).splitlines() == [
        "", "[ 3/12] feature: Name", "    · a remark", f"  ✗ {'Then it works':<84}    0.0s", "      wanted: x",
        "    … VM b: Pending (12s of 60s)", "  FAILED in 3.0s",
    ]  # fmt: skip


def test_on_a_tty_the_moving_line_says_where_it_is() -> None:
    shown = quiet("passed", Tty())
    assert "[ 3/12] … VM a: Pending (2s of 60s)" in shown
    assert shown.endswith("\r\x1b[2K[ 3/12] \x1b[32m✓\x1b[0m feature: Name  3.0s\n")


def test_an_ascii_terminal_gets_ascii() -> None:
    out = Ascii()
    terminal = Terminal(out, {})
    terminal.step_ended(StepRecord("Then", "ü", "passed"))
    assert out.getvalue().isascii()


def test_the_summary_names_verdicts_reasons_leftovers_and_the_record(tmp_path: Path) -> None:
    out = io.StringIO()
    record = RunRecord("r1", tmp_path, broken="wanted: an answer", leftovers=["namespace demo"])
    record.scenarios = [
        ScenarioRecord("good", "f", "1", verdict="passed"),
        ScenarioRecord("bad", "f", "2", verdict="failed", reason="wanted: x\nfound: y"),
        ScenarioRecord("never", "f", "3"),
    ]
    Terminal(out, {}).summary(record)
    text = out.getvalue()
    for said in ("3 scenarios: 1 passed, 1 failed, 1 not run", "found: y", "left behind: namespace demo", "run.json"):
        assert said in text
