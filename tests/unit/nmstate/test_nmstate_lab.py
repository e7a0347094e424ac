"""Policies applied, verified and rolled back on a real node: real links, real Open vSwitch, private namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = ("unshare", "ip", "ovs-vsctl", "ovs-appctl", "ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "dnsmasq", "busybox",
         "ping")  # fmt: skip


@pytest.mark.lab
def test_policies_on_a_real_node(tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} on PATH")
    inside = ["unshare", "-Urnmpf", "--mount-proc", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs a kernel that allows unprivileged user namespaces (or root)")
    script = Path(__file__).parent / "nmstate_realnode.py"
    places = [str(script.parent), str(script.parents[3])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    argv = [*inside, sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
