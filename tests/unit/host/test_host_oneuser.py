"""tcpdump where only one user is mapped: it captures with the starter, and does not without."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.embedded.host import oneuser

SPACES = ["unshare", "--user", "--map-root-user", "--net", "--"]
ASK = "(sleep 0.3; ping -c 2 -i 0.2 127.0.0.1 >/dev/null)"
LOOK = f"ip link set lo up; {ASK} & timeout 10 tcpdump -i lo -nn -c 2 icmp 2>&1"


def looked(path: str) -> str:
    env = {**os.environ, "PATH": path}
    done = subprocess.run([*SPACES, "sh", "-c", LOOK], env=env, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"this host forbids user namespaces: {done.stderr.strip()}")
    return done.stdout


def test_with_the_starter_packets_are_seen_and_without_it_none(tmp_path: Path) -> None:
    before = looked(os.environ["PATH"])
    assert "ICMP echo request" not in before
    after = looked(oneuser.starters(tmp_path / "bin", os.environ["PATH"]))
    assert after.count("ICMP echo re") == 2, after


def test_a_starter_never_starts_a_starter(tmp_path: Path) -> None:
    once = oneuser.starters(tmp_path / "a", os.environ["PATH"])
    oneuser.starters(tmp_path / "b", once)
    real = shutil.which("tcpdump")
    assert f" {real} -Z root " in (tmp_path / "b" / "tcpdump").read_text()


def test_a_program_that_is_nowhere_gets_no_starter(tmp_path: Path) -> None:
    assert oneuser.starters(tmp_path / "bin", str(tmp_path)) == f"{tmp_path / 'bin'}:{tmp_path}"
    assert list((tmp_path / "bin").iterdir()) == []
