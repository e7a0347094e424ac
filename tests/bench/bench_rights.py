"""What a whole run and every other command ask of a cluster, under exactly the roles of `deploy/rbac.yaml`.

`make bench` holds it against what is kept in `tests/harness/requests.json`; with VIRTLAB_RECORD=1 it is written there,
for `tests/harness/test_rights.py`, which needs no lab.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests import wire
from tests.conftest import PLAIN_ENV, ROOT, VIRTLAB, RunningLab, lab_up

pytestmark = pytest.mark.lab
TARGET = ("--target", "targets/embedded.yaml")


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab whose kubeconfig is the ServiceAccount's; in the end its requests are those that are known."""
    with lab_up(tmp_path_factory.mktemp("rights"), "--nmstate", "0.83", "--rbac") as made:
        yield made
        asked = wire.requests(wire.events(made.audit_log), wire.rules())
    if os.environ.get("VIRTLAB_RECORD"):
        known = sorted(asked | wire.recorded())
        text = ",\n".join(json.dumps(request.fields()) for request in known)
        wire.RECORDED.write_text(f"[\n{text}\n]\n")
    assert sorted(map(str, asked - wire.recorded())) == []


def test_a_run_that_fails_and_what_is_asked_about_it(restricted: RunningLab) -> None:
    fault = ("--fault", "vlan-missing node=worker-1 vlan=2024", "--fault", "vlan-missing node=worker-2 vlan=2024")
    code, record, said = restricted.run(
        "features/localnet",
        "-k",
        "reaches_the_gateway and not after or over_SSH",
        "--keep",
        "always",
        *fault,
        timeout=900,
    )
    assert code == 1, said
    assert any(s["verdict"] == "failed" for s in record["scenarios"]), said
    for words in (
        ("show", "placement", *TARGET),
        ("audit", "routes", *TARGET),
        ("evidence", *TARGET, "--folder", str(restricted.folder / "evidence")),
        ("nics", *TARGET),
        ("clean", *TARGET, "--list"),
        ("clean", *TARGET),
    ):
        done = restricted.virtlab(*words, timeout=600)
        assert "forbidden" not in (done.stdout + done.stderr).lower(), done.stderr
        assert done.returncode in (0, 1), done.stderr


def test_a_lease_of_a_killed_run_is_taken_over(restricted: RunningLab) -> None:
    words = [*VIRTLAB, "run", *TARGET, "--out", str(restricted.folder / "killed"), "features/linux_bridge"]
    env = {**PLAIN_ENV, **restricted.env}
    with subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        before = len(list(wire.events(restricted.audit_log)))
        while len(list(wire.events(restricted.audit_log))) < before + 40 and run.poll() is None:
            time.sleep(0.2)
        run.send_signal(signal.SIGKILL)
    done = restricted.virtlab("clean", *TARGET, "--all", timeout=600)
    assert done.returncode == 0, done.stderr


def test_a_whole_run(restricted: RunningLab) -> None:
    code, record, said = restricted.run(timeout=3000)
    assert code == 0, said
    # Skipped where the machine forbids post-copy.
    assert {s["verdict"] for s in record["scenarios"]} <= {"passed", "skipped"}
