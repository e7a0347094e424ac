"""The ``virtlab`` command: what is handed on to whom, and what a wrong word is answered with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import cli

ROOT = Path(__file__).parents[3]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the command would have become."""
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda file, argv: seen.append(argv))
    return seen


def test_no_word_at_all_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out.splitlines()
    for name in [*cli.EMBEDDED, *cli.OWN]:
        assert len([line for line in shown if line.startswith(f"  {name} ")]) == 2


def test_an_unknown_command_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fualt"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("virtlab: wanted a command, found 'fualt'; is 'fault' meant?\n")
    assert "usage: virtlab COMMAND" in message


def test_commands_of_the_embedded_lab_are_handed_on_as_they_are(executed: list[list[str]]) -> None:
    cli.main(["node", "exec", "worker-1", "--", "sh", "-c", "a b"])
    assert executed[0][1:] == ["-m", "lab.embedded", "node", "exec", "worker-1", "--", "sh", "-c", "a b"]
    cli.main(["help", "up"])
    assert executed[1][1:] == ["-m", "lab.embedded", "up", "--help"]


def test_a_run_reads_the_settings_of_the_checkout_wherever_the_target_file_is(
    executed: list[list[str]], tmp_path: Path
) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("")
    cli.main(["run", "--target", str(target), "--out", str(tmp_path), "-x"])
    argv = executed[0]
    assert argv[:3] == [sys.executable, "-m", "pytest"]
    assert argv[argv.index("-c") + 1] == str(ROOT / "pyproject.toml")
    assert argv[-3:] == [f"--target={target}", f"--out={tmp_path}", "-x"]
    # A target file and an existing folder of runs are no choice among the features.
    assert str(ROOT / "features") in argv


def test_with_json_standard_output_is_for_the_program_alone() -> None:
    words = ["run", "--target", "targets/embedded.yaml", "--plan", "--json", "features/localnet"]
    env = {**os.environ, "VIRTLAB_NAME": "there-is-no-such-lab"}
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["scenarios"][0]["changes"]["vms"] == ["vm-a"]
    assert "does not answer" in plan["target"]
    assert "collected" in done.stderr


def test_a_feature_may_be_chosen(executed: list[list[str]]) -> None:
    chosen = str(ROOT / "features" / "localnet" / "test_localnet.py")
    cli.main(["run", "--target=x.yaml", f"{chosen}::test_a"])
    assert executed[0][-2:] == ["--target=x.yaml", f"{chosen}::test_a"]
    assert str(ROOT / "features") not in executed[0]


def test_an_option_without_its_word_does_not_swallow_the_features(executed: list[list[str]]) -> None:
    cli.main(["run", "--target"])
    assert executed[0][-2:] == [str(ROOT / "features"), "--target"]


def test_clean_says_wrong_use_apart_from_a_broken_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["clean", "--target", str(tmp_path / "none.yaml")]) == 2
    assert f"where: {tmp_path}/none.yaml" in capsys.readouterr().err
    shipped = (ROOT / "targets" / "embedded.yaml").read_text()
    target = tmp_path / "dead.yaml"
    target.write_text(shipped.replace("[virtlab, kubeconfig]", "['false']"))
    assert cli.main(["clean", "--target", str(target)]) == 10
    assert "wanted: the kubeconfig of the lab of target 'embedded'" in capsys.readouterr().err
