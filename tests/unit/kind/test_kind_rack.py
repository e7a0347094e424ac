"""The switch and the cables of `virtlab kind`, with real Open vSwitch and real packets in private namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT

UNSHARE = [
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
]  # fmt: skip


def test_lacp_vlans_and_gateways_carry_packets_and_come_back_after_the_switch_has_ended() -> None:
    # A path of a socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="rack-") as folder:
        done = subprocess.run(
            [*UNSHARE, sys.executable, str(Path(__file__).with_name("rackworld.py"))],
            cwd=ROOT, env={**os.environ, "RACK": folder, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip
        logs = "".join(path.read_text(errors="replace")[-2000:] for path in Path(folder).glob("*/ovs-vswitchd.log"))
    assert done.stdout.endswith("as wanted\n"), f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
