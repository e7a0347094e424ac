"""Many VMs migrated to and fro, again and again: what a lab holds on to, as a slope per 100 migrations (`make bench`).

Every VM that moved must answer pods of other subnets than its own, and all of them whenever a sample is taken.
VIRTLAB_MOVES (60) and VIRTLAB_VMS (6) say how much; the first quarter warms up and is left out.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

import pytest
import yaml

from lab.access.client import Client
from lab.access.kinds import NAMESPACE, NODE, POD, VMI, VMIM, Obj
from lab.core.deadline import Deadline
from lab.core.wait import Seen
from tests.bench import holding
from tests.bench.holding import Sample
from tests.conftest import ROOT, RunningLab

pytestmark = pytest.mark.lab
MOVES, VMS = int(os.environ.get("VIRTLAB_MOVES", "60")), int(os.environ.get("VIRTLAB_VMS", "6"))
SAMPLES, AT_ONCE, BOOTED_AT_ONCE, WAIT_S = 8, 2, 5, 180.0
PLACE = "endurance"
FILLED = 200
"""After so many migrations the API server has its history of changes full; until then it grows with each."""
LIMITS = {**holding.LIMITS, **({"memory, MiB": 60.0, "API server's memory, MiB": 30.0} if MOVES <= FILLED else {})}
PING = 'for a in "$@"; do ping -c 1 -W 2 $a >/dev/null || ping -c 3 -W 2 $a >/dev/null || echo $a; done'


@pytest.fixture
def client(lab: RunningLab) -> Iterator[Client]:
    made = holding.administrator(lab)
    yield made
    made.close()


def manifest(name: str, kind: str) -> Obj:
    found: Obj = yaml.safe_load((ROOT / f"features/pod_network/manifests/{kind}.yaml").read_text())
    made = copy.deepcopy(found)
    made["metadata"] = {"name": name, "namespace": PLACE}
    return made


def phase(obj: Obj | None) -> str:
    return str(((obj or {}).get("status") or {}).get("phase") or "absent")


def running(obj: Obj | None) -> Seen[str]:
    return Seen(phase(obj), phase(obj) == "Running", phase(obj))


def addressed(vmi: Obj | None) -> Seen[str]:
    interfaces = ((vmi or {}).get("status") or {}).get("interfaces") or [{}]
    address = str(interfaces[0].get("ipAddress") or "")
    return Seen(f"{phase(vmi)}, address {address or 'none'}", phase(vmi) == "Running" and bool(address), address)


def ended(migration: Obj | None) -> Seen[str]:
    found = phase(migration)
    return Seen(found, found in ("Succeeded", "Failed"), found)


def booted(client: Client) -> dict[str, str]:
    """All VMs, so many at a time, each with its address; and a pod on every worker."""
    client.create({"apiVersion": "v1", "kind": NAMESPACE.kind, "metadata": {"name": PLACE}})
    for node in client.list(NODE, None):
        pod = manifest(f"on-{node['metadata']['name']}", "pod")
        pod["spec"]["nodeName"] = node["metadata"]["name"]
        client.create(pod)
    found: dict[str, str] = {}
    for first in range(0, VMS, BOOTED_AT_ONCE):
        names = [f"vm-{number}" for number in range(first, min(first + BOOTED_AT_ONCE, VMS))]
        for name in names:
            client.create(manifest(name, "vm-p"))
        for name in names:
            deadline = Deadline.after(WAIT_S)
            found[name] = client.wait_for(VMI, name, PLACE, "Running with an address", addressed, deadline=deadline)
        end = time.monotonic() + WAIT_S
        while silent(client, [found[name] for name in names]) and time.monotonic() < end:
            continue
    return found


def silent(client: Client, addresses: Sequence[str]) -> list[str]:
    """Those that do not answer, each with the pod that asked.

    A pod in the VM's own subnet is not asked: both keep each other's MAC address when the VM leaves its home, as
    upstream (docs/seed-notes.md).
    """
    lost = []
    for node in client.list(NODE, None):
        home = ip_network(json.loads(node["metadata"]["annotations"]["k8s.ovn.org/node-subnets"])["default"][0])
        pod = f"on-{node['metadata']['name']}"
        client.wait_for(POD, pod, PLACE, "Running", running, deadline=Deadline.after(WAIT_S))
        asked = [address for address in addresses if ip_address(address) not in home]
        argv = ["sh", "-c", PING, "ping", *asked]
        said = client.exec(pod, PLACE, "resident", argv, deadline=Deadline.after(WAIT_S))
        assert said.ok, said
        lost += [f"{address} {pod}" for address in said.stdout.split()]
    return lost


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
        if phase(pod) == "Succeeded":
            client.delete(POD, pod["metadata"]["name"], PLACE)
    return found


def test_slopes_are_read_right() -> None:
    assert holding.slope([(0, 5), (50, 5), (100, 5)]) == 0
    assert holding.slope([(0, 5), (50, 6), (100, 7)]) == pytest.approx(2)
    grown: list[tuple[float, Sample]] = [(0, {"processes": 5}), (50, {"processes": 7}), (100, {"processes": 9})]
    assert holding.slopes(grown, "things", "") == ["processes: 4.0 in 100 things"]


def test_what_a_lab_holds_on_to(lab: RunningLab, client: Client) -> None:
    began = time.monotonic()
    addresses = booted(client)
    print(f"{VMS} VMs in {time.monotonic() - began:.0f} s", flush=True)
    samples: list[tuple[float, Sample]] = []
    outcomes, lost, seconds = Counter[str](), list[str](), list[float]()
    first: Counter[str] = Counter()
    done, began = 0, time.monotonic()
    while done < MOVES:
        chosen = [f"vm-{(done + n) % VMS}" for n in range(min(AT_ONCE, VMS, MOVES - done))]
        start = time.monotonic()
        outcomes += moved(client, chosen)
        seconds.append(time.monotonic() - start)
        lost += [f"after {done}: {one}" for one in silent(client, [addresses[name] for name in chosen])]
        done += len(chosen)
        if done * SAMPLES // MOVES > (done - len(chosen)) * SAMPLES // MOVES:
            lost += [f"at {done}: {one}" for one in silent(client, list(addresses.values()))]
            sample, processes = holding.settled(lab, client, VMS)
            samples.append((done, sample))
            first = first or processes
            more = {k: processes[k] - first[k] for k in processes | first if processes[k] != first[k]}
            said = json.dumps({k: round(v, 1) for k, v in sample.items()})
            print(
                f"{done} in {time.monotonic() - began:.0f} s: {said} {more or ''} {dict(outcomes)} {lost}", flush=True
            )
    how = f"{MOVES} migrations of {VMS} VMs, {dict(outcomes)}"
    holding.drift(seconds, f"{AT_ONCE} migrations at once")
    steep = holding.slopes(samples[len(samples) // 4 :], "migrations", how, LIMITS)
    assert lost == []
    assert set(outcomes) == {"Succeeded"}
    assert steep == []
