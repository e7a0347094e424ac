"""Many runs with nothing wrong, on one lab that stays up: false alarms, what the lab holds on to, drift (`make bench`).

A run is `virtlab run` of one feature; every feature comes once a round. Each run that is not passed is a false alarm.
VIRTLAB_RUNS (50) says how many, VIRTLAB_SEED in which order. It prints how to set a fault by hand meanwhile, which must
then be counted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median

import pytest

from lab.core.errors import UsageError
from lab.evidence.reading import load
from lab.evidence.record import RunRecord
from tests.bench import holding
from tests.bench.alarms import alarms, skipped, turns
from tests.bench.holding import Sample
from tests.conftest import ROOT, RunningLab, lab_up

pytestmark = pytest.mark.lab
RUNS, SEED = int(os.environ.get("VIRTLAB_RUNS", "50")), int(os.environ.get("VIRTLAB_SEED", "1"))
FEATURES = sorted(path.name for path in (ROOT / "features").iterdir() if any(path.glob("*.feature")))
LONGEST_S = 900.0
UP = ("--nmstate", "0.83")
"""As targets/embedded.yaml says."""
LIMITS = {**holding.LIMITS, "memory, MiB": 150.0, "API server's memory, MiB": 60.0}
"""In 100 runs; each is many policies, VMs and migrations."""
TARGET = ("--target", "targets/embedded.yaml")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with lab_up(tmp_path_factory.mktemp("lab"), *UP) as made:
        yield made


def ran(lab: RunningLab, number: int, feature: str) -> tuple[RunRecord | None, int, str, float]:
    """One run: its own record if it made one, exit code, what it printed, seconds."""
    out, run_id = lab.folder / "out", f"fault-free-{number}"
    began = time.monotonic()
    words = ("run", *TARGET, "--out", str(out), "--run-id", run_id, f"features/{feature}")
    try:
        done = lab.virtlab(*words, timeout=LONGEST_S)
        code, printed = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        code, printed = -signal.SIGKILL, f"it did not end in {LONGEST_S:.0f} s"
        lab.virtlab("clean", *TARGET, "--all", timeout=LONGEST_S)
    try:
        record = load(out / run_id / "run.json")
    except UsageError:
        record = None
    return record, code, printed, time.monotonic() - began


def test_fault_free_runs(lab: RunningLab) -> None:
    by_hand = " ".join(f"{key}={value}" for key, value in lab.env.items())
    print(f"to see an alarm: {by_hand} virtlab fault set dhcp-silent host=outside", flush=True)
    client = holding.administrator(lab)
    verdicts, bad, skips = Counter[str](), list[str](), Counter[str]()
    samples: list[tuple[float, Sample]] = []
    seconds: list[tuple[str, float]] = []
    for turn in turns(FEATURES, RUNS, SEED):
        for feature in turn:
            record, code, printed, took = ran(lab, len(seconds) + 1, feature)
            seconds.append((feature, took))
            wrong = alarms(record, code, printed)
            verdict = str(record.verdict()) if record else "none"
            verdicts[verdict] += 1
            skips.update(skipped(record))
            line = f"{len(seconds):3} {feature:18} {verdict:8} {took:5.1f} s [load {os.getloadavg()[0]:.1f}]"
            print(line, *wrong, sep="\n      ", flush=True)
            bad += [f"{len(seconds)} {feature}: {one}" for one in wrong]
        sample, _ = holding.settled(lab, client, 0)
        samples.append((len(seconds), sample))
        print(json.dumps({key: round(value, 1) for key, value in sample.items()}), flush=True)
    client.close()
    told(seconds, verdicts, bad, skips)
    steep = holding.slopes(samples[1:] or samples, "runs", f"{RUNS} runs, {dict(verdicts)}", LIMITS)
    assert bad == []
    assert steep == []


def told(seconds: list[tuple[str, float]], verdicts: Counter[str], bad: list[str], skips: Counter[str]) -> None:
    """The sums. Seconds of a run are taken by the median of its feature's runs, since features differ."""
    for feature in FEATURES:
        own = [took for name, took in seconds if name == feature]
        print(f"{feature:18} {len(own)} runs, seconds: {', '.join(f'{took:.0f}' for took in own)}")
    for text, count in skips.items():
        print(f"skipped {count} times: {text}")
    usual = {name: median(took for other, took in seconds if other == name) for name, _ in seconds}
    holding.drift([took / usual[name] for name, took in seconds], "each run by the median of its feature's")
    print(f"{len(seconds)} runs, {dict(verdicts)}, {len(bad)} false alarms", *bad, sep="\n  ")
