"""Many VMs migrated to and fro, again and again: what a lab holds on to, as a slope per 100 migrations (`make bench`).

Counted on all of a lab's processes: their number, open files, listening ports, memory; the files they keep in the
lab's folder and on the nodes; the objects of the API. What grows for ever is a leak and fails. VIRTLAB_MOVES (60) and
VIRTLAB_VMS (6) say how much; the first quarter warms up and is left out.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.access import kubeconfig
from lab.access.client import Client
from lab.access.kinds import NAMESPACE, POD, VM, VMI, VMIM, Obj
from lab.access.transport import Transport
from lab.core.deadline import Deadline
from lab.core.wait import Seen
from tests import victims
from tests.bench.figures import report
from tests.conftest import ROOT, RunningLab
from tests.opened import environment

pytestmark = pytest.mark.lab
MOVES, VMS = int(os.environ.get("VIRTLAB_MOVES", "60")), int(os.environ.get("VIRTLAB_VMS", "6"))
SAMPLES, LOOKS, AT_ONCE, WAIT_S = 8, 3, 2, 180.0
PLACE = "endurance"
FILLED = 300
"""After so many migrations the API server has its history of changes full; until then it grows with each."""
MEMORY_MIB = 150.0 if MOVES <= FILLED else 20.0
LIMITS = {"processes": 2.0, "open files": 5.0, "listening ports": 1.0, "files": 5.0, "memory, MiB": MEMORY_MIB}
"""What may come in 100 migrations. Of memory: what heaps do not give back; a guest's own is its own business."""
Sample = dict[str, float]


@pytest.fixture
def client(lab: RunningLab) -> Iterator[Client]:
    with environment(dict(lab.env)):
        admin = Path(lab.virtlab("kubeconfig", "--admin").stdout.split()[-1])
        # Under another name than the harness's, whose requests are counted and judged.
        made = Client(Transport(kubeconfig.load(admin), admin, user_agent="test-of-virtlab"))
        yield made
        made.close()


def machine(number: int) -> Obj:
    found: Obj = yaml.safe_load((ROOT / "features/pod_network/manifests/vm-p.yaml").read_text())
    made = copy.deepcopy(found)
    made["metadata"] = {"name": f"vm-{number}", "namespace": PLACE}
    return made


def running(vmi: Obj | None) -> Seen[str]:
    phase = str(((vmi or {}).get("status") or {}).get("phase") or "absent")
    return Seen(phase, phase == "Running", str(((vmi or {}).get("status") or {}).get("nodeName", "")))


def ended(migration: Obj | None) -> Seen[str]:
    phase = str(((migration or {}).get("status") or {}).get("phase") or "Pending")
    return Seen(phase, phase in ("Succeeded", "Failed"), phase)


def moved(client: Client, names: list[str]) -> Counter[str]:
    """Migrate these VMs at once and take the migrations away again; how they ended."""
    made = [
        client.create({
            "apiVersion": VMIM.api_version, "kind": VMIM.kind,
            "metadata": {"generateName": f"{name}-", "namespace": PLACE}, "spec": {"vmiName": name},
        })["metadata"]["name"]
        for name in names
    ]  # fmt: skip
    found: Counter[str] = Counter()
    for name in made:
        found[str(client.wait_for(VMIM, name, PLACE, "ended", ended, deadline=Deadline.after(WAIT_S)))] += 1
        client.delete(VMIM, name, PLACE)
    # A launcher that was migrated away stays, with its log, until its VM goes: so it does upstream.
    for pod in client.list(POD, PLACE):
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            client.delete(POD, pod["metadata"]["name"], PLACE)
    return found


def taken(lab: RunningLab, client: Client) -> tuple[Sample, Counter[str]]:
    """What there is now, and the processes by name."""
    everything = victims.descendants(int(victims.facts(lab)["pid"]))
    names = Counter(victims.name_of(pid) for pid in everything)
    held = sum(victims.open_files(pid) for pid in everything)
    guests = [pid for pid in everything if victims.name_of(pid).startswith("qemu")]
    memory = sum(victims.memory(pid) for pid in set(everything) - set(guests))
    files = sum(len(found) for _, _, found in os.walk(victims.folder(lab)))
    nodes = [pid for pid in everything if victims.is_node(lab, pid)]
    files += sum(len(found) for pid in nodes for _, _, found in os.walk(f"/proc/{pid}/root/run"))
    logs = sum(path.stat().st_size for path in (victims.folder(lab) / "logs").iterdir())
    objects = sum(len(client.list(kind, None)) for kind in (POD, VM, VMI, VMIM))
    sample = {
        "processes": float(len(everything)), "open files": float(held), "files": float(files),
        "listening ports": float(sum(victims.listening(pid) for pid in victims.one_of_each_network(everything))),
        "memory, MiB": memory / 2**20, "guests' memory, MiB": sum(victims.memory(pid) for pid in guests) / 2**20,
        "logs, MiB": logs / 2**20, "objects": float(objects),
    }  # fmt: skip
    return sample, names


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares, per 100 of the first."""
    middle = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    above = sum((x - middle[0]) * (y - middle[1]) for x, y in points)
    below = sum((x - middle[0]) ** 2 for x, _ in points)
    return 100 * above / below if below else 0.0


def settled(lab: RunningLab, client: Client, qemus: int) -> tuple[Sample, Counter[str]]:
    """A sample once the sources of the last migrations are gone: of three the least, for commands come and go."""
    end = time.monotonic() + WAIT_S
    found: list[tuple[Sample, Counter[str]]] = []
    while len(found) < LOOKS:
        sample, names = taken(lab, client)
        if sum(count for name, count in names.items() if name.startswith("qemu")) == qemus or time.monotonic() > end:
            found.append((sample, names))
        time.sleep(1)
    least = min(found, key=lambda one: one[0]["processes"])
    return {key: min(sample[key] for sample, _ in found) for key in least[0]}, least[1]


def test_slopes_are_read_right() -> None:
    assert slope([(0, 5), (50, 5), (100, 5)]) == 0
    assert slope([(0, 5), (50, 6), (100, 7)]) == pytest.approx(2)


def test_what_a_lab_holds_on_to(lab: RunningLab, client: Client) -> None:
    client.create({"apiVersion": "v1", "kind": NAMESPACE.kind, "metadata": {"name": PLACE}})
    names = [f"vm-{number}" for number in range(VMS)]
    for number in range(VMS):
        client.create(machine(number))
    for name in names:
        client.wait_for(VMI, name, PLACE, "Running", running, deadline=Deadline.after(WAIT_S))
    samples: list[tuple[float, Sample]] = []
    outcomes: Counter[str] = Counter()
    first: Counter[str] = Counter()
    done, began = 0, time.monotonic()
    while done < MOVES:
        chosen = [names[(done + n) % VMS] for n in range(min(AT_ONCE, VMS, MOVES - done))]
        outcomes += moved(client, chosen)
        done += len(chosen)
        if done * SAMPLES // MOVES > (done - len(chosen)) * SAMPLES // MOVES:
            sample, processes = settled(lab, client, VMS)
            samples.append((done, sample))
            first = first or processes
            more = {k: processes[k] - first[k] for k in processes | first if processes[k] != first[k]}
            said = json.dumps({k: round(v, 1) for k, v in sample.items()})
            print(f"{done} in {time.monotonic() - began:.0f} s: {said} {more or ''}", flush=True)
    judged(samples[len(samples) // 4 :], outcomes)


def judged(samples: list[tuple[float, Sample]], outcomes: Counter[str]) -> None:
    """Print each slope; raise for what grows more than it may."""
    found: dict[str, Any] = {key: slope([(at, s[key]) for at, s in samples]) for key in samples[0][1]}
    for key, value in found.items():
        report(
            f"{key}, in 100 migrations",
            value,
            LIMITS.get(key),
            "",
            f"{MOVES} migrations of {VMS} VMs, {dict(outcomes)}",
        )
    assert set(outcomes) == {"Succeeded"}
    assert {key: value for key, value in found.items() if key in LIMITS and value > LIMITS[key]} == {}
