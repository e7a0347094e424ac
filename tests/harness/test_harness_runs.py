"""Whole runs of our plugins on small features: verdicts, exit codes, skips, lines. The cluster is played by a fake."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lab.evidence.reading import load
from reports import markdown, words
from tests.harness.smallrun import INI, ROOT, run

pytest_plugins = ["pytester"]
VIRTLAB = [sys.executable, "-m", "lab.cli"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTLAB_TARGET", "FORCE_COLOR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)


def test_a_green_run_is_quiet_one_line_a_scenario(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, tags="@needs:workers>=9")
    lines = [line for line in result.stdout.lines if "small: " in line or "Given" in line or "PASSED" in line]
    assert [line.partition("  ")[0] for line in lines] == ["[1/2] ✓ small: One", "[2/2] - small: Two"]
    assert "skipped: needs workers>=9, found 2" in lines[1]


def test_a_run_whose_cluster_is_taken_over_is_broken_from_there_on(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="another run takes the cluster over")
    assert [s["verdict"] for s in record["scenarios"]] == ["passed", "broken"]
    assert "the lease was taken from this run" in record["scenarios"][1]["reason"]
    assert result.ret == 10


def test_a_scenario_that_fails_is_loud_with_all_that_led_to_it(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, two="the product fails")
    result.stdout.fnmatch_lines(
        [
            "[[]1/2[]] ✓ small: One*",
            "[[]2/2[]] small: Two",
            "*✓ Given a cluster*",
            "*✗ Then the product fails*",
            "*FAILED in*",
        ]
    )


def test_a_run_that_is_asked_for_more_has_a_line_per_step_and_a_record(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*[[]1/2[]] small: One", "*Given a cluster *s", "*Then it works *s", "*PASSED in *", "*2 scenarios: 2 passed"]
    )
    result.stdout.fnmatch_lines(["record: *out/r1/run.json"])
    assert (record["verdict"], record["state"], record["exit_code"]) == ("passed", "finished", 0)
    assert [s["status"] for s in record["scenarios"][0]["steps"]] == ["passed", "passed"]


def test_repeated_scenarios_tell_their_flake_rate_in_record_history_and_comparison(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "--repeat=3", one="it works every other time")
    assert [(s["name"], s["repeat"], s["verdict"]) for s in record["scenarios"]] == [
        ("One", 1, "passed"), ("One", 2, "failed"), ("One", 3, "passed"),
        ("Two", 1, "passed"), ("Two", 2, "passed"), ("Two", 3, "passed"),
    ]  # fmt: skip
    assert record["repeats"] == [
        {"feature": "small", "name": "One", "verdicts": {"passed": 2, "failed": 1}, "flake_rate": 0.3333},
        {"feature": "small", "name": "Two", "verdicts": {"passed": 3}, "flake_rate": 0.0},
    ]
    result.stdout.fnmatch_lines(["*[[]2/6[]] small: One (repeat 2)", "*small: One: 2 of 3 passed, flaky: 33 % failed"])
    assert 'name="One (repeat 2)"' in (pytester.path / "out" / "r1" / "junit.xml").read_text()
    said = subprocess.run(
        [*VIRTLAB, "history", "--out", "out"], cwd=pytester.path, env=ENV, capture_output=True, text=True, check=False
    )
    assert "+x+  2 of 3 passed, flaky: 33 % failed  small: One" in said.stdout
    said = subprocess.run(
        [*VIRTLAB, "compare", "r1", "r1", "--out", "out"],
        cwd=pytester.path,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "(2 of 3 passed, flaky: 33 % failed -> 2 of 3 passed, flaky: 33 % failed)" in said.stdout


def test_a_scenario_that_measures_traffic_is_not_made_again_as_a_whole(pytester: pytest.Pytester) -> None:
    _, record = run(pytester, "--repeat=2", tags="@traffic")
    assert [(s["name"], s["repeat"]) for s in record["scenarios"]] == [("One", 1), ("One", 2), ("Two", 0)]


def test_a_product_failure_is_1_with_wanted_and_found_and_no_traceback(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="the product fails")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*wanted: VM a to reach the gateway", "*found: no answer *", "*FAILED in*"])
    result.stdout.no_fnmatch_line("*raise ProductFailure*")
    assert "\x1b" not in result.stdout.str()
    assert [s["verdict"] for s in record["scenarios"]] == ["failed", "passed"]


@pytest.mark.parametrize("option", ["--fault", "--each-fault"])
def test_a_pass_before_its_fault_was_made_proves_nothing(pytester: pytest.Pytester, option: str) -> None:
    result, record = run(pytester, option, "gateway-down vlan=2024", two="the networks forward")
    assert result.ret == 1
    one, two = record["scenarios"]
    assert one["verdict"] == "inconclusive"
    assert one["reason"].splitlines() == [
        "wanted: the fault 'gateway-down vlan=2024' before the scenario's first check",
        "found: it was never made: the scenario passed, and waited for no network to forward",
        'try: make it before the first step: --each-fault "start:FAULT"',
    ]
    assert two["verdict"] == ("passed" if option == "--fault" else "inconclusive")


def test_a_broken_environment_is_10_and_the_rest_is_not_run_with_that_reason(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="the environment breaks")
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["broken", "skipped"]
    reason = "not run, since the environment broke: wanted: an answer of the API server; found: connection refused"
    assert record["scenarios"][1]["reason"] == reason
    result.stdout.fnmatch_lines(["*try: virtlab up"])
    assert record["exit_code"] == 10


def test_a_lab_that_does_not_open_is_10_too(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, open_fails=True)
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["broken", "skipped"]
    assert record["verdict"] == "broken"
    # Evidence is taken all the same; what cannot be had is listed.
    assert record["scenarios"][0]["evidence"] == "evidence/01"
    assert any("node.yaml: wanted an answer of the API" in line for line in record["scenarios"][0]["evidence_missing"])
    assert "testcase" in (pytester.path / "out" / "r1" / "junit.xml").read_text()


def test_a_failure_outweighs_a_broken_environment(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="the product fails", two="the environment breaks")
    assert result.ret == 1
    assert record["verdict"] == "failed"


def test_inconclusive_is_neither(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="nothing is proven")
    assert result.ret == 1
    assert record["scenarios"][0]["verdict"] == "inconclusive"


def test_an_error_is_explained_with_the_vms_of_its_scenario_where_it_has_some(pytester: pytest.Pytester) -> None:
    _, record = run(pytester, one="nothing is proven of its VM")
    assert record["scenarios"][0]["verdict"] == "failed"
    assert "one of virtlab-one ended" in record["scenarios"][0]["reason"]


def test_a_fault_of_a_step_is_broken_with_its_traceback_and_stops_nothing(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="the step itself is wrong")
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["broken", "passed"]
    result.stdout.fnmatch_lines(["*raise KeyError*"])


def test_without_target_it_is_a_usage_error_with_the_commands_to_type(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, target=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*virtlab run --target targets/embedded.yaml*", "*virtlab target init -o FILE*", "*virtlab run --target FILE*"]
    )


def test_a_wrong_target_file_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, "--target=nowhere.yaml", target=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*wanted: a target file*"])


@pytest.mark.parametrize(
    ("context", "kubeconfig", "parts"),
    [
        ("", None, ["wanted: a kubeconfig", "found: no file *kc"]),
        ("prod", "contexts: [{name: lab}]", ["wanted: the context 'prod'", "found: the file has: lab"]),
        ("", "a: [", ["wanted: a kubeconfig", "found: not readable as YAML*"]),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_a_usage_error_before_anything_is_run(
    pytester: pytest.Pytester, context: str, kubeconfig: str | None, parts: list[str]
) -> None:
    if kubeconfig is not None:
        (pytester.path / "kc").write_text(kubeconfig)
    target = pytester.path / "mine.yaml"
    target.write_text(
        f"cluster: {{kubeconfig: kc, context: '{context}'}}\nnics: {{primary: eth0}}\n"
        "images: {default: {image: a/b, user: u, password: p}}\n"
    )
    result, record = run(pytester, f"--target={target}", target=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{part}" for part in parts])
    assert record == {}


def test_an_unmet_need_skips_with_its_reason(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, tags="@needs:workers>=9")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*needs workers>=9, found 2*"])
    assert record["scenarios"][1]["verdict"] == "skipped"
    assert record["scenarios"][1]["reason"] == "needs workers>=9, found 2"


def test_a_run_in_which_nothing_ran_is_not_green(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "-k", "two", tags="@needs:workers>=9")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert record["exit_code"] == 5
    result.stdout.fnmatch_lines(["1 scenarios: 1 skipped", "*nothing ran: this says nothing about the cluster*"])


def test_with_require_all_an_unmet_need_is_red_with_its_reason_and_the_rest_still_runs(
    pytester: pytest.Pytester,
) -> None:
    result, record = run(pytester, "--require-all", "-k", "one or two", tags="@needs:workers>=9")
    assert result.ret == 10
    assert [s["verdict"] for s in record["scenarios"]] == ["passed", "broken"]
    result.stdout.fnmatch_lines(["*wanted: every need of this scenario (--require-all)*", "*found: needs workers>=9*"])
    assert "the environment broke" not in result.stdout.str()
    text = (pytester.path / "out" / "r1" / "junit.xml").read_text()
    assert "needs workers&gt;=9, found 2" in text


def test_a_run_begins_with_what_the_cluster_can_do(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester)
    lines = [line for line in result.stdout.lines if line.startswith("cluster: ")]
    assert lines == ["cluster: 2 workers; nmstate, ovn", "cluster: not there: faults (no command)"]


def test_waits_show_what_they_wait_for(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "-v", one="it waits")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*VM demo/a: phase Scheduling (1s of 20s)"])
    assert any("phase Running" in note for note in record["scenarios"][0]["steps"][1]["notes"])


def test_a_countdown_is_one_line_until_something_else_is_seen(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "-v", one="it counts down")
    lines = [line for line in result.stdout.lines if "port x: listening" in line]
    assert len(lines) == 1, lines
    notes = record["scenarios"][0]["steps"][1]["notes"]
    assert [note.partition(" (")[0] for note in notes][:2] == ["port x: listening for 0 s", "port x: forwarding"]


def test_what_is_measured_is_kept_with_its_step_and_the_versions_too(pytester: pytest.Pytester) -> None:
    _, record = run(pytester, one="a check is made")
    (fact,) = record["scenarios"][0]["facts"]
    assert (fact["sort"], fact["step"], fact["vm"], fact["held"]) == ("check", 1, "a", True)
    assert record["versions"]["OVN"] == "24.03.1"
    assert record["versions"]["target file"].startswith("sha256:")
    assert record["arguments"]
    assert load(pytester.path / "out" / "r1" / "run.json").counts() == {"passed": 2}


def test_a_run_that_is_killed_leaves_a_record_that_says_so(pytester: pytest.Pytester) -> None:
    run(pytester, two="the run is killed")
    found = load(pytester.path / "out" / "r1" / "run.json")
    assert found.state == "killed"
    assert [s.verdict for s in found.scenarios] == ["passed", ""]
    assert [(s.name, s.status) for s in found.scenarios[1].steps] == [
        ("a cluster", "passed"),
        ("the run is killed", "running"),
    ]
    assert words.unfinished(found.scenarios[1]) == "begun; it was at: Then the run is killed"
    assert "begun; " in markdown.render(found)


def test_a_plan_does_nothing_and_says_so(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "--plan", tags="@needs:workers>=9")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*[[]1/2[]] run  small: One", "*needs workers>=9", "2 would run, 0 be skipped; *"])
    assert record == {}


def test_ctrl_c_closes_the_lab_and_the_record(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, one="somebody presses Ctrl-C")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert record["state"] == "interrupted"
    assert "closed" in result.stdout.str()


def test_what_is_kept_is_listed(pytester: pytest.Pytester) -> None:
    result, record = run(pytester, "--keep=failed", one="the product fails")
    result.stdout.fnmatch_lines(["*left behind: namespace demo*"])
    assert record["leftovers"] == ["namespace demo: held by a finalizer"]


def test_allure_still_works(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, "--alluredir=allure", one="the product fails")
    assert result.ret == 1
    results = [json.loads(p.read_text()) for p in (pytester.path / "allure").glob("*-result.json")]
    assert sorted(r["status"] == "passed" for r in results) == [False, True]
    assert any("VM a to reach the gateway" in r.get("statusDetails", {}).get("message", "") for r in results)


def test_junit_has_the_message_and_the_reason(pytester: pytest.Pytester) -> None:
    run(pytester, "--junitxml=j.xml", one="the product fails", two="it works", tags="@needs:workers>=9")
    text = (pytester.path / "j.xml").read_text()
    assert "VM a to reach the gateway" in text
    assert "needs workers&gt;=9, found 2" in text


def test_plain_tests_hear_nothing_of_us(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["steps.plugin", "reports.plugin"]')
    pytester.makepyfile("def test_one(): pass")
    pytester.makeini(INI)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*record:*")
    assert not (pytester.path / "out").exists()
