"""Policies applied, verified and rolled back on a real node: real links, real Open vSwitch, private namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.embedded.host import probe


@pytest.mark.lab
def test_policies_on_a_real_node(tmp_path: Path) -> None:
    user = ["--user", "--map-root-user"] if probe.user_namespace_needed() else []
    inside = ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    script = Path(__file__).parent / "nmstate_realnode.py"
    places = [str(script.parent), str(script.parents[3])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    argv = [*inside, sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
