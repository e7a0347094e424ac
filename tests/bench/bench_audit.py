"""The audit's figures: a million routes against awk, memory as zones grow while VMs do not, a hundred zones live."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.access.client import Client
from lab.core.deadline import Deadline
from lab.ovn.live import audit_cluster
from tests.bench.figures import report, spread
from tests.unit.access.fakeapi import kubeconfig

ROOT = Path(__file__).parents[2]
AWK = "NF>=3{c[$1]++} END{for(k in c) if(c[k]>1) n++; print n}"
PEAK = """
import sys
from pathlib import Path
from lab.cli import main
main(["audit", "routes", *sys.argv[1:], "--json"])
status = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in status if line.startswith("VmHWM")).split()[1], file=sys.stderr)
"""
MEMORY_MIB = 600
FLOOR_S = 2.0


class Clean:
    """A clean cluster whose VMs all run off their home nodes; zones share all rows but those of VMs of their own."""

    def __init__(self, zones: int, vms: int) -> None:
        self.zones = zones
        self.addresses = [self._address(vm) for vm in range(vms)]
        self.runners = [(vm % zones + 1) % zones for vm in range(vms)]
        self.remote = [
            f"{a:>25} {self._transit(r):>25} dst-ip\n" for a, r in zip(self.addresses, self.runners, strict=True)
        ]
        self.mine: dict[int, list[int]] = {}
        for vm, runner in enumerate(self.runners):
            self.mine.setdefault(runner, []).append(vm)

    def _address(self, vm: int) -> str:
        if vm // self.zones < 250:
            return f"10.{128 + vm % self.zones // 256}.{vm % self.zones % 256}.{vm // self.zones % 250 + 3}"
        return f"10.{160 + vm // 65025 % 60}.{vm // 255 % 255}.{vm % 255}"

    def _transit(self, node: int, net: int = 88) -> str:
        return f"100.{net}.{(node + 2) // 256}.{(node + 2) % 256}"

    def dump(self, zone: int) -> Iterator[str]:
        """One zone as ovn-nbctl prints it."""
        yield f"$ oc exec -n ns -c nbdb ovnkube-node-{zone:05d} -- ovn-nbctl lr-route-list ovn_cluster_router\n"
        yield "IPv4 Routes\nRoute Table <main>:\n"
        rows = list(self.remote)
        for vm in self.mine.get(zone, ()):
            rows[vm] = f"{self.addresses[vm]:>25} {self.addresses[vm]:>25} dst-ip rtos-worker-{zone}\n"
        yield "".join(rows)
        for node in range(self.zones):
            join, transit = self._transit(node, 64), self._transit(node)
            yield f"{join:>25} {join if node == zone else transit:>25} dst-ip\n"
            if node != zone:
                yield f"{f'10.{128 + node // 256}.{node % 256}.0/24':>25} {transit:>25} dst-ip\n"
        yield f"{'10.128.0.0/9':>25} {self._transit(zone, 64):>25} src-ip\n"

    def write(self, path: Path) -> Path:
        """Every zone, one after the other."""
        with path.open("w") as out:
            for zone in range(self.zones):
                out.writelines(self.dump(zone))
        return path


def audit(path: Path) -> tuple[float, float]:
    """Seconds of a whole process, and MiB at its peak."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True)
    assert '"verdict": "clean"' in done.stdout
    return time.perf_counter() - begun, int(done.stderr.split()[-1]) / 1024


def awk(path: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([shutil.which("awk") or "awk", AWK, str(path)], check=True, capture_output=True)
    return time.perf_counter() - begun


@pytest.mark.parametrize(("zones", "vms"), [(50, 20_000), (1, 1_000_000)], ids=["50-zones", "one-zone"])
def test_a_million_routes_against_awk(tmp_path: Path, zones: int, vms: int) -> None:
    path = Clean(zones, vms).write(tmp_path / "routes")
    # In turns, and the best of each: others' work on the machine must not fall on one of the two alone.
    runs = [(awk(path), *audit(path)) for _ in range(3)]
    reference, seconds, peak = (min(column) for column in zip(*runs, strict=True))
    limit = max(1.5 * reference, FLOOR_S)
    what = f"audit, {zones} zones x {vms} routes"
    report(what, seconds, limit, "s", f"awk {reference:.2f} s, {seconds / reference:.2f} x")
    report(f"{what}, memory", peak, MEMORY_MIB, "MiB", "peak of the process")
    assert peak <= MEMORY_MIB
    assert seconds <= limit


def test_memory_follows_vms_and_not_zones(tmp_path: Path) -> None:
    """Up to a thousand zones with twenty thousand routes each: 1.4 GB of text, read as a stream."""
    peaks = []
    for zones, vms in ((10, 20_000), (100, 20_000), (1000, 20_000), (100, 80_000)):
        path = Clean(zones, vms).write(tmp_path / "routes")
        size = path.stat().st_size
        seconds, peak = audit(path)
        path.unlink()
        peaks.append(peak)
        how = f"{size >> 20} MiB of text in {seconds:.1f} s, {peak / peaks[0]:.2f} x the memory of 10 zones"
        report(f"audit, {zones} zones x {vms} routes, memory", peak, MEMORY_MIB, "MiB", how)
    assert peaks[2] <= 3 * peaks[0]
    assert max(peaks) <= MEMORY_MIB


def test_a_hundred_zones_take_as_long_as_the_slowest(tmp_path: Path) -> None:
    slowest, seconds = 3.0, []
    argv = [sys.executable, "-m", "tests.bench.zones", "100", str(slowest)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout is not None
        client = Client.connect(kubeconfig(tmp_path, there.stdout.readline().strip()))
        for _ in range(3):
            begun = time.perf_counter()
            result = audit_cluster(client, deadline=Deadline.after(60))
            seconds.append(time.perf_counter() - begun)
            assert result.exit_code == 0
            assert len(result.topology.by_zone) == 100
        client.close()
        there.communicate("")
    how = f"slowest exec {slowest} s, best {spread(seconds)}"
    report("audit, 100 zones live", min(seconds), 1.1 * slowest, "s", how)
