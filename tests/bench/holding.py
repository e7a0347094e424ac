"""What a lab holds on to while much is done with it: samples, slopes per 100 things done, and what grows too fast.

Counted on all of a lab's processes: their number, open files, listening ports, memory; the files they keep in the lab's
folder and on the nodes; the objects of the API. A guest's memory is its own business and is told apart.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.access import kubeconfig
from lab.access.client import Client
from lab.access.kinds import POD, VM, VMI, VMIM
from lab.access.transport import Transport
from tests import victims
from tests.bench.figures import report
from tests.conftest import RunningLab
from tests.opened import environment

LOOKS, SETTLED_S = 3, 180.0
LIMITS = {
    "processes": 2.0, "open files": 5.0, "listening ports": 1.0, "files": 5.0, "memory, MiB": 20.0,
    "API server's memory, MiB": 10.0,
}  # fmt: skip
"""What may come with 100 things done, once all is warm. Of memory: what heaps do not give back."""
Sample = dict[str, float]


def administrator(lab: RunningLab) -> Client:
    """A client under another name than the harness's, whose requests are counted and judged."""
    with environment(dict(lab.env)):
        admin = Path(lab.virtlab("kubeconfig", "--admin").stdout.split()[-1])
        return Client(Transport(kubeconfig.load(admin), admin, user_agent="test-of-virtlab"))


def taken(lab: RunningLab, client: Client) -> tuple[Sample, Counter[str]]:
    """What there is now, and the processes by name."""
    everything = victims.descendants(int(victims.facts(lab)["pid"]))
    names = Counter(victims.name_of(pid) for pid in everything)
    held = sum(victims.open_files(pid) for pid in everything)
    guests = [pid for pid in everything if victims.name_of(pid).startswith("qemu")]
    own = {pid: victims.memory(pid) for pid in set(everything) - set(guests)}
    kept = [name for _, _, found in os.walk(victims.folder(lab)) for name in found]
    # What a guest said is kept until the lab is purged, as logs are.
    consoles = sum(name.endswith(".console.log") for name in kept)
    files = len(kept) - consoles
    nodes = [pid for pid in everything if victims.is_node(lab, pid)]
    files += sum(len(found) for pid in nodes for _, _, found in os.walk(f"/proc/{pid}/root/run"))
    logs = sum(path.stat().st_size for path in (victims.folder(lab) / "logs").iterdir())
    objects = sum(len(client.list(kind, None)) for kind in (POD, VM, VMI, VMIM))
    server = victims.api_server(lab, everything)
    sample = {
        "processes": float(len(everything)), "open files": float(held), "files": float(files),
        "listening ports": float(sum(victims.listening(pid) for pid in victims.one_of_each_network(everything))),
        "memory, MiB": sum(own.values()) / 2**20, "API server's memory, MiB": own[server] / 2**20,
        "guests' memory, MiB": sum(victims.memory(pid) for pid in guests) / 2**20,
        "logs, MiB": logs / 2**20, "logs of consoles": float(consoles), "objects": float(objects),
    }  # fmt: skip
    return sample, names


def settled(lab: RunningLab, client: Client, qemus: int) -> tuple[Sample, Counter[str]]:
    """A sample once no more than these guests are left: of three the least, for commands come and go."""
    end = time.monotonic() + SETTLED_S
    found: list[tuple[Sample, Counter[str]]] = []
    while len(found) < LOOKS:
        sample, names = taken(lab, client)
        if sum(count for name, count in names.items() if name.startswith("qemu")) == qemus or time.monotonic() > end:
            found.append((sample, names))
        time.sleep(1)
    least = min(found, key=lambda one: one[0]["processes"])
    return {key: min(sample[key] for sample, _ in found) for key in least[0]}, least[1]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares, per 100 of the first."""
    middle = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    above = sum((x - middle[0]) * (y - middle[1]) for x, y in points)
    below = sum((x - middle[0]) ** 2 for x, _ in points)
    return 100 * above / below if below else 0.0


def slopes(
    samples: Sequence[tuple[float, Sample]], done: str, how: str, limits: Mapping[str, float] = LIMITS
) -> list[str]:
    """Print each slope; those that are too steep."""
    found = {key: slope([(at, sample[key]) for at, sample in samples]) for key in samples[0][1]}
    for key, value in found.items():
        report(f"{key}, in 100 {done}", value, limits.get(key), "", how)
    return [f"{key}: {value:.1f} in 100 {done}" for key, value in found.items() if value > limits.get(key, value)]


def drift(seconds: Sequence[float], how: str) -> float:
    """Print and return the median of the last third by that of the first."""
    third = max(1, len(seconds) // 3)
    first, last = (sorted(part)[len(part) // 2] for part in (seconds[:third], seconds[-third:]))
    report("seconds, last third by first", last / first, None, "", f"medians {first:.2f} and {last:.2f}, {how}")
    return last / first
