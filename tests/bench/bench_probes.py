"""What probes cost: reading a long log, starting one over an open session, a guest's time at 100 packets a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from lab.core.deadline import Deadline
from lab.guest.outside import OutsideShell
from lab.guest.shell import Shell
from lab.probes.clocks import Stretch
from lab.probes.continuous import ContinuousPing, read_log
from lab.probes.series import Frame
from lab.probes.toolbox import look
from lab.topology.scene import Scene
from tests.bench.figures import report, spread
from tests.conftest import RunningLab
from tests.opened import traffic_scene

PARSE_LIMIT_MS, START_LIMIT_MS, LOAD_LIMIT = 100.0, 150.0, 0.05
SAMPLES, SECONDS, STARTS = 60_000, 10, 7
UPTIME = "cat /proc/uptime"
"""Seconds since the start, and idle ones. The busy ones of /proc/stat are guessed at each tick of the clock, which a
program that sleeps until then hardly ever meets: they say a half of it or less."""


def test_reading_ten_minutes() -> None:
    lines = "".join(
        f"[{1e9 + n / 100:.6f}] 64 bytes from 10.0.0.1: icmp_seq={n + 1} ttl=64 time=1.2 ms\n" for n in range(SAMPLES)
    )
    text = f"PING\n{lines}\n{SAMPLES} packets transmitted, {SAMPLES} received, 0% packet loss, time 600000ms\n"
    frame = Frame("ping", "gateway", "vm-a", 10, 0.0, 2e9)
    seen = []
    for _ in range(5):
        began = time.process_time()
        assert read_log(text, (Stretch(0.0, 2e9, 0.0, 0.001),), frame).received == SAMPLES
        seen.append((time.process_time() - began) * 1000)
    how = f"processor time, log of {SAMPLES} answers to gaps, median {spread(seen, 'ms')}"
    report("reading ten minutes at 10 ms", statistics.median(seen), PARSE_LIMIT_MS, "ms", how)


@pytest.fixture(scope="module")
def scene(lab: RunningLab) -> Iterator[Scene]:
    with traffic_scene(lab, "bench") as scene:
        yield scene


@pytest.mark.lab
@pytest.mark.parametrize("way", ["ssh", "console"])
def test_starting_a_probe(scene: Scene, way: str) -> None:
    guest = scene.guest("vm-a")
    shell = scene.session("vm-a") if way == "ssh" else guest.shell
    assert shell is not None
    tools = look(shell, deadline=Deadline.after(60))
    seen = []
    for _ in range(STARTS):
        probe = ContinuousPing(shell, guest.segment.gateway, tools)
        began = time.monotonic()
        probe.start(Deadline.after(30))
        seen.append((time.monotonic() - began) * 1000)
        probe.stop(Deadline.after(30))
    if way == "ssh":
        shell.close()
    how = f"start to the first answer in its log, over an open {way}, median {spread(seen, 'ms')}"
    report(f"starting a probe over {way}", statistics.median(seen), START_LIMIT_MS, "ms", how)


def used(shell: Shell) -> float:
    """Share of a guest's only processor that was not idle, over some seconds."""
    before = [float(word) for word in shell.run(["sh", "-c", UPTIME], deadline=Deadline.after(30)).stdout.split()]
    time.sleep(SECONDS)
    after = [float(word) for word in shell.run(["sh", "-c", UPTIME], deadline=Deadline.after(30)).stdout.split()]
    passed, idle = (b - a for a, b in zip(before, after, strict=True))
    return 1 - idle / passed


@pytest.mark.lab
@pytest.mark.parametrize("origin", ["gateway", "guest"])
def test_load_of_a_guest(scene: Scene, origin: str) -> None:
    guest = scene.guest("vm-a")
    assert guest.shell is not None
    outside = OutsideShell(scene.site.target.outside_host("gateway-2024"))
    shell, target = (outside, guest.address) if origin == "gateway" else (guest.shell, guest.segment.gateway)
    idle = used(guest.shell)
    probe = ContinuousPing(shell, target, look(shell, deadline=Deadline.after(60)))
    probe.start(Deadline.after(30))
    busy = used(guest.shell)
    probe.stop(Deadline.after(30))
    how = f"of one emulated processor, {SECONDS} s with a 10 ms ping from the {origin} less {SECONDS} s without"
    report(f"load of a guest, ping from the {origin}", busy - idle, LOAD_LIMIT, "", how)
