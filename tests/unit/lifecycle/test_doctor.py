"""What doctor says about a host that lacks something, and what stands in a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.embedded.errors import HostForbids, UsageError
from lab.embedded.host import folders, probe
from lab.embedded.lifecycle import doctor
from lab.embedded.lifecycle.up import plan
from lab.embedded.model.spec import LabSpec


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor.examine()[0]
    assert (found.good, found.seen) == (False, "not on PATH: unshare, nsenter")
    assert "util-linux" in found.remedy


def test_a_cache_that_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = next(finding for finding in doctor.examine() if finding.subject == "tools")
    assert not found.good
    assert found.seen == f"{tmp_path}/file/virtlab: Not a directory"
    assert found.remedy == "set XDG_CACHE_HOME to a folder that you may write to"


@pytest.mark.parametrize(
    ("switch", "seen"),
    [
        ("0\n", "migrations by post-copy are refused, and one scenario is skipped; `sudo sysctl -w "
                "vm.unprivileged_userfaultfd=1` allows them"),
        ("1\n", "allowed"),
        (None, "allowed"),
    ],
)  # fmt: skip
def test_who_may_do_post_copy(switch: str | None, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "USERFAULTFD", tmp_path / "switch")
    if switch is not None:
        (tmp_path / "switch").write_text(switch)
    found = next(finding for finding in doctor.examine() if finding.subject == "post-copy")
    assert (found.good, found.seen) == (True, seen)


def test_a_relative_folder_is_ignored_and_no_home_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert folders.base("XDG_STATE_HOME", ".local/state") == Path("/home/somebody/.local/state")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(HostForbids, match="wanted a home folder") as raised:
        folders.base("XDG_STATE_HOME", ".local/state")
    assert "set HOME, or XDG_STATE_HOME to a folder" in str(raised.value)
    assert raised.value.exit_code == 10


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(HostForbids, match="it is not writable for this user"):
        folders.make(tmp_path / "x", "the lab 'one'", "XDG_STATE_HOME")


def test_the_plan_counts() -> None:
    assert plan(LabSpec("one", 1)).startswith("lab one: 1 worker (worker-1), one switch, VLAN gateways 2024 (192.168")
    assert "2 workers (worker-1, worker-2)" in plan(LabSpec("two", 2))


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a" * 21, "a b", "a/b", "ä", "a\n"])
def test_names_that_no_lab_can_have(name: str) -> None:
    with pytest.raises(UsageError, match="wanted a lab name of 1-20 lower-case letters"):
        LabSpec(name)


def test_addresses_of_the_nodes() -> None:
    spec = LabSpec("a" * 20, 9)
    assert [node.machine_ip for node in spec.nodes][::8] == ["192.168.52.11", "192.168.52.19"]
    assert len({node.chassis for node in spec.nodes}) == 9
