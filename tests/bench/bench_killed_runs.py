"""Fifty kills at random points of all kinds of scenarios: of the run, the supervisor, a node, a QEMU (`make bench`).

Whatever is killed: the next command works, the record can be read and says how far the run came, nothing is left.
After the death of a run, a node or a QEMU the cluster is cleaned and must be what it was; after the supervisor's every
process, port and mount of the lab must be gone, and a new one come up.

VIRTLAB_SEED chooses other points, VIRTLAB_TIMES how many, VIRTLAB_VICTIMS of which (`run,supervisor,node,qemu`);
after VIRTLAB_SECONDS no other is begun.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import killing, victims
from tests.conftest import RunningLab, lab_up

pytestmark = pytest.mark.lab
SEED, TIMES = int(os.environ.get("VIRTLAB_SEED", "1")), int(os.environ.get("VIRTLAB_TIMES", "50"))
SECONDS = float(os.environ.get("VIRTLAB_SECONDS", "inf"))
VICTIMS = os.environ.get("VIRTLAB_VICTIMS", "run,run,supervisor,node,qemu").split(",")
RUNS = (
    (("features/linux_bridge",), 180),
    (("features/bonding", "-k", "LACP_is_negotiated or survives_the_loss"), 220),
    (("features/localnet", "-k", "reaches_the_gateway"), 170),
    (("features/localnet", "-k", "applied_without_its_bond"), 130),
    (("features/localnet_coe",), 100),
    (("features/cnv_bridge", "-k", "a_vlan_in or finds_no_worker"), 150),
    (("features/migration_traffic", "-k", "cancelled"), 125),
    (("features/nmcli",), 140),
    (("features/pod_network",), 200),
)
"""Features, and about how many requests each makes."""
WITH_VMS = tuple(entry for entry in RUNS if entry[0][0].endswith(("localnet_coe", "migration_traffic", "pod_network")))
MOVED = re.compile(
    r"(gone|left): pods\. kubevirt/\S+|changed: switches of \S+: '(br-int: [\w ]*)?' is now '(br-int: [\w ]*)?'"
)
"""What may differ after a node lost all its processes: pods of operators are elsewhere now, and so are their ports."""
UP = ("--nmstate", "0.83")
"""One that takes the documented policies as they are."""


def points() -> list[tuple[str, tuple[str, ...], int]]:
    """Victims in equal shares, in any order."""
    choose = random.Random(SEED)
    found: list[tuple[str, tuple[str, ...], int]] = []
    shares = (VICTIMS * (TIMES // len(VICTIMS) + 1))[:TIMES]
    for victim in choose.sample(shares, TIMES):
        words, most = choose.choice(WITH_VMS if victim == "qemu" else RUNS)
        found.append((victim, words, choose.randrange(20, most)))
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with lab_up(tmp_path_factory.mktemp("lab"), *UP) as made:
        yield made


class Series:
    """Kills on one lab, each judged by what the lab was before it."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab, self.ran = lab, 0
        self.killed, self.bad = Counter[str](), list[str]()
        self._look()

    def _look(self) -> None:
        self._cluster = killing.Cluster(self.lab)
        self._before = self._cluster.state()
        assert not self._cluster.unread()

    def kill(self, victim: str, words: tuple[str, ...], after: int) -> None:
        """One run that is struck, the next commands, and a line that tells of both."""
        began, facts = time.monotonic(), victims.facts(self.lab)
        everything, port = victims.descendants(int(facts["pid"])), int(facts["port"])
        run = killing.struck(self.lab, victim, words, after, self.lab.folder / "killed")
        middle = time.monotonic()
        if victim == "supervisor" and run.hit:
            wrong = run.wrong + victims.left_of(self.lab, everything, port) + _anew(self.lab)
        else:
            wrong = run.wrong + self._cleaned(MOVED if victim == "node" and run.hit else None)
        self.ran += 1
        self.killed[victim] += run.hit
        hit = f"killed after {after} requests in {run.told or 'no step'}; the run ended {run.ended_s:.0f} s later"
        ended = hit if run.hit else "ended before"
        print(
            f"{self.ran:2} {victim} in {' '.join(words)} ({middle - began:.0f} s): {ended}; then "
            f"{time.monotonic() - middle:.0f} s -> {'; '.join(wrong) or 'as before'}", flush=True,
        )  # fmt: skip
        self.bad += wrong
        if wrong or (run.hit and victim in ("supervisor", "node")):
            self._look()

    def _cleaned(self, may: re.Pattern[str] | None) -> list[str]:
        done = self.lab.virtlab("clean", *killing.TARGET, "--all", timeout=900)
        if done.returncode:
            return [f"clean: {done.stderr.strip()}"]
        return self._cluster.differences(self._before, may)


def test_kills(lab: RunningLab) -> None:
    series, end = Series(lab), time.monotonic() + SECONDS
    for point in points():
        if time.monotonic() < end:
            series.kill(*point)
    print(f"killed: {dict(series.killed)} in {series.ran} runs; wrong: {len(series.bad)}")
    assert series.bad == []
    assert series.killed.total() > series.ran * 0.6


def _anew(lab: RunningLab) -> list[str]:
    """The commands that follow the death of a lab."""
    said = lab.virtlab("status")
    wrong = [] if "down" in said.stdout and said.returncode == 1 else [f"status: {said.returncode} {said.stdout}"]
    up = lab.virtlab("up", *UP, timeout=300)
    clean = lab.virtlab("clean", *killing.TARGET, "--list")
    wrong += [f"up: {up.stderr.strip()}"] * (up.returncode != 0)
    return wrong + [f"clean: {clean.stdout}{clean.stderr}"] * (clean.stdout != "nothing was left\n")
