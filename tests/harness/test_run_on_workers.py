"""`run -n N` as whole runs of several processes on small features; the cluster is played by a fake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.cli import _joined, _long
from lab.core.deadline import Deadline
from lab.core.wait import Periodic, Seen, wait_until
from steps.parallel import workers_of
from tests.harness.smallrun import CONFTEST, INI

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
ENDLESS = """
    @then("it goes on and on")
    def endless():
        import threading

        threading.Event().wait(60)
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTLAB_TARGET", "FORCE_COLOR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)


def features(pytester: pytest.Pytester, **of: dict[str, str]) -> list[str]:
    """Features of these names, each with scenarios by name and what they say; returns the command of a run."""
    pytester.makeconftest(textwrap.dedent(CONFTEST) + textwrap.dedent(ENDLESS))
    for name, scenarios in of.items():
        text = "".join(f"  Scenario: {s}\n    Given a cluster\n    Then {said}\n" for s, said in scenarios.items())
        pytester.path.joinpath(f"{name}.feature").write_text(f"Feature: {name}\n{text}")
        pytester.path.joinpath(f"test_{name}.py").write_text(
            f"from pytest_bdd import scenarios\nscenarios('{name}.feature')\n"
        )
    pytester.makeini(INI)
    target = (ROOT / "targets" / "embedded.yaml").read_text()
    pytester.path.joinpath("shared.yaml").write_text(target.replace("name-variable:", "# name-variable:"))
    target = target.replace("name-variable: VIRTLAB_NAME", "name-variable: MY_LAB")
    target = target.replace("[virtlab, down]", "[sh, -c, 'echo \"$MY_LAB\" >> ended']")
    pytester.path.joinpath("own.yaml").write_text(target.replace("[virtlab, kubeconfig]", "['false']"))
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--run-id=r1"]


def record_of(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "out" / "r1" / "run.json").read_text())
    return found


def verdicts(record: dict[str, Any]) -> dict[str, str]:
    return {f"{s['feature']} {s['name']}": s["verdict"] for s in record["scenarios"]}


def test_a_worker_that_is_killed_costs_its_feature_and_no_other(pytester: pytest.Pytester) -> None:
    argv = features(
        pytester,
        a={"One": "a check is made", "Two": "the run is killed", "Three": "it works", "Four": "it works"},
        b={"One": "it works", "Two": "it works"},
    )
    more = [
        "--target=shared.yaml",
        "--workers=2",
        "--alluredir=allure",
        "--junitxml=j.xml",
        "--measure",
        "-k",
        "not four",
    ]
    result = pytester.run(*argv, *more)
    record = record_of(pytester)
    assert verdicts(record) == {
        "a One": "passed", "a Two": "broken", "a Three": "broken", "b One": "passed", "b Two": "passed",
    }  # fmt: skip
    assert (result.ret, record["exit_code"], record["verdict"], record["state"]) == (10, 10, "broken", "finished")
    assert record["scenarios"][2]["reason"] == "not finished, since its worker ended before: see 'Two'"
    assert record["leftovers"] == []
    said = result.stdout.str()
    assert "workers: 2 for 2 features on one cluster; beside any other: a, b" in said
    assert "worker: of a left namespace of r1.1; removed" in said
    assert said.count("it was ended by signal 9 while 'Two' ran") == 3  # at once, in the summary, as the run's cause
    assert record["scenarios"][0]["facts"][0]["step"] == 1
    assert record["versions"]["OVN"] == "24.03.1"
    results = [json.loads(p.read_text()) for p in (pytester.path / "allure").glob("*-result.json")]
    assert sorted(r["status"] for r in results) == ["broken", "broken", "passed", "passed", "passed"]
    text = (pytester.path / "j.xml").read_text()
    assert 'failures="2"' in text
    assert 'tests="5"' in text
    assert (pytester.path / "out" / "r1" / "report.html").is_file()


@pytest.mark.parametrize(
    ("number", "target", "state"),
    [(signal.SIGINT, "own.yaml", "interrupted"), (signal.SIGKILL, "shared.yaml", "running")],
)
def test_workers_put_everything_back_when_the_run_is_interrupted_and_when_it_is_gone(
    pytester: pytest.Pytester, number: signal.Signals, target: str, state: str
) -> None:
    argv = features(
        pytester, a={"One": "the product fails", "Two": "it goes on and on"}, b={"One": "it goes on and on"}
    )
    logs = [pytester.path / "out" / "r1" / "parts" / part for part in ("1", "2")]

    def begun() -> Seen[None]:
        if not all((log / "run.json").exists() for log in (*logs, logs[0].parents[1])):
            return Seen("they come up")
        last = [json.loads((log / "run.json").read_text())["scenarios"][-1]["started"] for log in logs]
        # The run's own record follows those of its workers, a moment later.
        whole = record_of(pytester)["scenarios"][0]["verdict"]
        return Seen(f"{last}, in the whole: {whole!r}", all(last) and whole == "failed")

    def ended() -> Seen[None]:
        parts = [json.loads((log / "run.json").read_text())["state"] for log in logs]
        # What they printed is in their logs when they have ended, a moment after their records.
        closed = ["closed" in (log / "output.log").read_text() for log in logs]
        return Seen(f"{parts}, closed: {closed}", parts == ["interrupted", "interrupted"] and all(closed))

    look = Periodic(0.05, "files")
    argv += [f"--target={target}", "--workers=2"]
    with subprocess.Popen(argv, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as run:
        wait_until("two workers", "in their last scenarios", begun, deadline=Deadline.after(60), changes=look)
        run.send_signal(number)
        said = run.communicate(timeout=60)[0]
    wait_until("two workers", "ended", ended, deadline=Deadline.after(30), changes=look)
    record = record_of(pytester)
    assert record["state"] == state
    assert record["scenarios"][0]["verdict"] == "failed"
    if number is signal.SIGINT:
        assert (run.returncode, record["exit_code"]) == (2, 2)
        assert "workers: 2 for 2 features, each with a lab of its own" in said
        assert sorted((pytester.path / "ended").read_text().split()) == ["embedded-1", "embedded-2"]
        assert said.count("✗ Then the product fails") == 1


@pytest.mark.parametrize(
    ("workers", "keep", "told"),
    [
        ("0", "never", "-n: wanted a number of workers from 1 to 64, or auto, found '0'"),
        ("x", "never", "-n: wanted a number of workers from 1 to 64, or auto, found 'x'"),
        ("2", "failed", "-n 2: wanted --keep never, found --keep failed"),
    ],
)
def test_what_workers_cannot_do_is_refused(workers: str, keep: str, told: str) -> None:
    option = SimpleNamespace(workers=workers, keep=keep, plan=False)
    with pytest.raises(pytest.UsageError) as raised:
        workers_of(cast("pytest.Config", SimpleNamespace(option=option)))
    assert told in str(raised.value)


def test_the_short_option_is_ours_before_it_is_pytests() -> None:
    given = _joined(_long(["-n", "2", "-n3", "-n=4", "--no-header", "-k", "x"]))
    assert given == ["--workers=2", "--workers=3", "--workers=4", "--no-header", "-k", "x"]
