"""The store of runs: SQLite and PostgreSQL for real, and what it says when it cannot."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.core.errors import UsageError
from lab.evidence.reading import load
from reports import store as room
from reports.comparecli import main as compare
from reports.historycli import main
from reports.store import Store, StoreFailed
from tests import programs
from tests.unit.evidence import records


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own on a socket in a folder of our own; ended with the module."""
    initdb, user = programs.postgresql(), programs.as_somebody()
    # A path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="virtlab-pg-"))
    data, tools = folder / "data", initdb.path.parent
    made = subprocess.run(
        [*user, str(initdb.path), "-D", str(data), "-U", "virtlab", "--auth=trust", "--no-sync"], capture_output=True,
        text=True, cwd="/", check=False, env=initdb.env,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"initdb does not work here: {made.stderr.strip().splitlines()[-1:]}")
    control = [*user, str(tools / "pg_ctl"), "-D", str(data), "-w", "-s"]
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, cwd="/", timeout=60,
                   env=initdb.env)  # fmt: skip
    yield f"postgresql+psycopg://virtlab@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd="/", timeout=60, env=initdb.env)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'history.db'}"
    return str(request.getfixturevalue("postgresql"))


def test_runs_are_kept_listed_and_given_back_whole(url: str, tmp_path: Path) -> None:
    store = Store(url)
    for number, verdict in enumerate(("failed", "passed", "broken")):
        made = records.record(tmp_path / f"r{number}", "passed", verdict, run_id=f"r{number}")
        made.started = records.stamp(number)
        records.measured(made.scenarios[0], number)
        store.add(made)
    store.add(made)
    entries = store.runs(2)
    assert [(e.run_id, e.verdict, e.target) for e in entries] == [
        ("r2", "broken", "embedded"),
        ("r1", "passed", "embedded"),
    ]
    assert store.runs(9, "elsewhere") == []
    found = store.verdicts(["r0", "r1", "r2"])
    assert found["localnet", "Scenario 1 of the tests"] == ["failed", "passed", "broken"]
    made.write()
    assert store.record("r2").scenarios == load(made.path).scenarios
    assert store.record("r2").versions == made.versions
    with pytest.raises(UsageError, match="r2, r1, r0"):
        store.record("r9")
    store.close()


def test_a_store_that_is_read_only_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    first = Store(f"sqlite:///{path}")
    first.add(records.record(tmp_path, "passed"))
    first.close()
    store = Store(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert len(store.runs()) == 1
    with pytest.raises(
        StoreFailed, match=r"attempt to write a readonly database\n(.|\n)*the run's own file has it all"
    ):
        store.add(records.record(tmp_path, "failed"))
    store.close()


def test_a_store_that_is_locked_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOCKED_S", 0.1)
    path = tmp_path / "history.db"
    store = Store(f"sqlite:///{path}")
    store.runs()
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreFailed, match="database is locked"):
        store.add(records.record(tmp_path, "passed"))
    other.close()
    store.add(records.record(tmp_path, "passed"))
    store.close()


def test_a_store_on_a_full_disk_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'history.db'}")
    store.add(records.record(tmp_path, "passed", run_id="first"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "history.db").stat().st_size, hard))
    try:
        with pytest.raises(StoreFailed, match="disk"):
            store.add(records.large(tmp_path, 300, 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert [e.run_id for e in store.runs()] == ["first"]
    store.close()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y", "sqlite+nosuch:///x"])
def test_a_url_that_is_none_is_refused_with_examples(url: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///out/history\.db"):
        Store(url)


def test_a_password_in_the_url_is_never_shown() -> None:
    store = Store("postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    with pytest.raises(StoreFailed) as raised:
        store.runs()
    assert "hunter2" not in str(raised.value)
    assert "me@127.0.0.1" in str(raised.value)
    store.close()


def test_history_shows_runs_and_what_flakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--out", str(tmp_path)]
    assert main(at) == 0
    assert "has no run" in capsys.readouterr().out
    for number, verdict in enumerate(("failed", "passed")):
        made = records.record(tmp_path / f"r{number}", "passed", verdict, run_id=f"r{number}")
        made.started = records.stamp(number)
        made.write()
    assert main([*at, "--add", "r0", "--add", "r1"]) == 0
    out = capsys.readouterr().out
    assert out.index("r1") < out.index("r0")
    assert "x+  1 of 2 passed, flaky: 50 % failed  localnet: Scenario 1 of the tests" in out
    assert main([*at, "--add", "nowhere"]) == 2
    assert main([*at, "--store", "sqlite:////nowhere/at/all.db"]) == 10
    assert "unable to open database file" in capsys.readouterr().err


def test_a_run_whose_folder_is_gone_is_compared_from_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--out", str(tmp_path)]
    for name in ("a", "b"):
        records.record(tmp_path / name, "passed", run_id=name).write()
        assert main([*at, "--add", name]) == 0
        shutil.rmtree(tmp_path / name)
    capsys.readouterr()
    assert compare(["a", "b", *at]) == 0
    assert "No worse than before." in capsys.readouterr().out
