"""The way of docs/real-cluster.md on a lab: restricted kubeconfig, `target init`, a few lines by hand, checks, a run.

Nothing about the lab is known to the harness but the file that comes of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningLab, lab_up

BY_HAND = """
vlans:
  - {id: 2024, gateway: 192.168.24.1, subnet: 192.168.24.0/24, pool: 192.168.24.20-192.168.24.99, outside: gateway-2024}
outside:
  gateway-2024: {exec: [virtlab, outside, exec, gateway-2024, --]}
faults: [virtlab, fault]
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """Two workers; its kubeconfig may do what `deploy/rbac.yaml` says."""
    with lab_up(tmp_path_factory.mktemp("real"), "--workers", "2", "--nmstate", "0.83", "--rbac") as made:
        yield made


def written(lab: RunningLab) -> Path:
    """The file of `target init`, with what a person adds: its proposal for the bonds taken, and BY_HAND."""
    path = lab.folder / "mine.yaml"
    kubeconfig = lab.virtlab("kubeconfig").stdout.strip()
    assert kubeconfig.endswith("kubeconfig.restricted")
    done = lab.virtlab("target", "init", "--kubeconfig", kubeconfig, "-o", str(path))
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "not readable with these credentials" not in text
    bonds = re.search(r"  # bonds:\n((?:  #   bond.*\n)+)", text)
    assert bonds is not None
    text = text.replace(bonds[0], "  bonds:\n" + bonds[1].replace("  #   ", "    "))
    path.write_text(text + BY_HAND)
    return path


@pytest.mark.lab
def test_a_file_from_a_look_and_a_few_lines_is_enough(lab: RunningLab) -> None:
    path = written(lab)
    checked = lab.virtlab("target", "check", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "?    VLAN 2024: gateway-2024 is the gateway 192.168.24.1 itself" in checked.stdout
    doctor = lab.virtlab("doctor", "--target", str(path))
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert re.search(r"ok   rights: all \d\d+ of deploy/rbac.yaml are granted", doctor.stdout)
    table = lab.virtlab("capabilities", "--target", str(path), "--json")
    needs = {row["need"]: row["here"] for row in json.loads(table.stdout)["capabilities"]}
    assert (needs["workers"], needs["localnet"], needs["migration"], needs["disruptive"]) == ("2", "yes", "yes", "no")

    out = lab.folder / "out"
    words = ("run", "--target", str(path), "--out", str(out), "--run-id", "r1", "features/bonding", "-k")
    run = lab.virtlab(*words, "LACP_is_negotiated or uses_one_link", timeout=120)
    record = json.loads((out / "r1" / "run.json").read_text())
    assert run.returncode == 0, run.stdout + run.stderr
    assert [s["verdict"] for s in record["scenarios"]] == ["passed", "skipped"]
    assert record["scenarios"][1]["reason"] == f"needs vlan 1993, {path} has 2024"
    assert record["leftovers"] == []
