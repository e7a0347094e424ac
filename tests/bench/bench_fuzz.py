"""The long profile of every series of hostile input: many times as many, and others each time (`make bench`)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SERIES = (
    "tests/contract/test_api_fuzz.py",
    "tests/unit/cli/test_hostile_files.py",
    "tests/unit/guest/test_hostile_guest.py",
    "tests/unit/images/test_cloudinit_fuzz.py",
    "tests/unit/node/test_objects_fuzz.py",
    "tests/unit/node/test_socket_fuzz.py",
    "tests/unit/operators/test_admission_fuzz.py",
    "tests/unit/ovn/test_audit_fuzz.py",
    "tests/unit/probes/test_probe_fuzz.py",
)


@pytest.mark.parametrize("series", SERIES)
def test_long(series: str) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", series]
    env = {**os.environ, "VIRTLAB_FUZZ": "long"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    print(done.stdout.splitlines()[-1])
