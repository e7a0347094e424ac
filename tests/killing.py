"""Runs that are killed in the middle, and what a cluster then is, compared with what it was.

A point is a number of requests that the run had made, so that a slow machine is killed at the same place as a fast one.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lab.access import kubeconfig
from lab.access.client import Client
from lab.access.kinds import NNS
from lab.access.transport import Transport
from lab.core.errors import LabError
from lab.evidence.reading import load
from lab.evidence.record import StepRecord, now
from lab.topology import snapshot
from tests import victims
from tests.conftest import PLAIN_ENV, ROOT, VIRTLAB, RunningLab

Obj = dict[str, Any]
State = dict[str, str]
TARGET = ("--target", "targets/embedded.yaml")
SETTLED_S = 60.0
ENDS_S = 400.0
"""So long a run may take to see that what it runs on is gone, and to give up."""
NONE = subprocess.DEVNULL
RESTLESS = frozenset({
    ("", "events"), ("events.k8s.io", "events"), ("nmstate.io", "nodenetworkstates"), ("", "componentstatuses"),
})  # fmt: skip
"""Collections that change by themselves; what NodeNetworkStates say is compared in its own way."""
BY_ITSELF = ("resourceVersion", "managedFields", "generation")
ON_NODE = r"""
ovs-vsctl get Open_vSwitch . external_ids
for b in $(ovs-vsctl list-br); do
    echo "$b: $(ovs-vsctl list-ports "$b" | grep -v -e '^patch-' -e '^ovn-' | sort | tr '\n' ' ')"
done
ovn-nbctl --no-leader-only ls-list | sed 's/^[^ ]* //'
ovn-nbctl --no-leader-only lr-route-list ovn_cluster_router | grep -v '10\.128\.0\.0/14 .* src-ip'
ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort
ls -d /run/virtlab-* /etc/NetworkManager/system-connections/* 2>/dev/null
for c in /proc/[0-9]*/comm; do cat "$c" 2>/dev/null; done | grep -c -e qemu -e ping -e tcpdump
"""
"""Left out is the route by which addresses of other nodes' subnets leave: OVN-Kubernetes makes it for the first VM that
keeps its address and never takes it back (lab/embedded/node/vmroutes.py), so it is the platform's."""


def requests_of(lab: RunningLab, since: int = 0, first: str = "") -> int:
    """How many requests any run made from that byte of the log on: all, or those from the first that is *first* on.

    *first* is a verb and a resource, such as ``patch nodenetworkconfigurationpolicies``; a dry run is none.
    """
    if not lab.audit_log.exists():
        return 0
    with lab.audit_log.open("rb") as log:
        log.seek(since)
        events = [line for line in log if b'"userAgent":"virtlab",' in line]
    if not first:
        return len(events)
    verb, _, resource = first.partition(" ")
    words = (f'"verb":"{verb}"'.encode(), f'"resource":"{resource}"'.encode())
    places = (i for i, e in enumerate(events) if all(word in e for word in words) and b"dryRun" not in e)
    at = next(places, None)
    return 0 if at is None else len(events) - at


def run_and_kill(
    lab: RunningLab, words: Sequence[str], after: int, folder: Path, first: str = "", patience_s: float = 600.0
) -> bool:
    """Run features and kill -9 the run after so many requests (see `requests_of`); False when it had ended before."""
    argv = [*VIRTLAB, "run", *TARGET, "--out", str(folder), *words]
    since, end = lab.audit_log.stat().st_size if lab.audit_log.exists() else 0, time.monotonic() + patience_s
    with subprocess.Popen(argv, cwd=ROOT, env={**PLAIN_ENV, **lab.env}, stdout=NONE, stderr=NONE, stdin=NONE) as run:
        while run.poll() is None:
            if (made := requests_of(lab, since, first)) >= after:
                run.kill()
                return True
            assert time.monotonic() < end, f"{words}: {made} of {after} requests in {patience_s:g} s"
            time.sleep(0.01)
    return False


@dataclass(frozen=True)
class Struck:
    """A run that was struck: whether it came to that, what its record says of it, and what is wrong about the end."""

    hit: bool
    told: str
    ended_s: float
    """How long after that it ended."""
    wrong: list[str]


def struck(lab: RunningLab, victim: str, words: Sequence[str], after: int, folder: Path) -> Struck:
    """Run features and kill -9 a victim after so many requests.

    A run that is not killed itself must end by itself, with a verdict and without a traceback; one that needed what was
    killed must not be green.
    """
    since, end = lab.audit_log.stat().st_size if lab.audit_log.exists() else 0, time.monotonic() + ENDS_S
    # What comes after the scenario that was struck is another run's business.
    argv = [*VIRTLAB, "run", *TARGET, "--out", str(folder), "-x", *words]
    log, at, began = folder.parent / "killed.log", "", 0.0
    known = set(folder.glob("*/run.json"))
    with log.open("w") as said, subprocess.Popen(
        argv, cwd=ROOT, env={**PLAIN_ENV, **lab.env}, stdout=said, stderr=said, stdin=NONE
    ) as run:  # fmt: skip
        while run.poll() is None and time.monotonic() < end:
            if not at and requests_of(lab, since) >= after:
                pids = [run.pid] if victim == "run" else victims.find(lab, victim, after)
                victims.kill(pids)
                at, began = now() if pids else "", time.monotonic()
            time.sleep(0.01)
        hung = run.poll() is None
        run.kill()
    ended_s = time.monotonic() - began
    wrong = [f"the run did not end in {ENDS_S:g} s"] * hung
    wrong += [f"a traceback: {log.read_text()[-600:]}"] * ("Traceback" in log.read_text())
    told = ""
    for path in set(folder.glob("*/run.json")) - known:
        wrong += _misrecorded(path, run.returncode, "killed" if victim == "run" and at else "")
        told = _told(path, at)
    return Struck(bool(at), told, ended_s, wrong + [f"green: {told}"] * (victim == "qemu" and told.endswith(PASSED)))


PASSED = ": passed"


def _told(path: Path, at: str) -> str:
    """The step that was under way at that time, and the verdict of its scenario; empty when there was none."""
    try:
        record = load(path)
    except LabError:
        return ""
    for scenario in record.scenarios:
        steps = [step.name for step in scenario.steps if step.started and step.started <= at <= _end(step)]
        if steps:
            reason = " ".join(scenario.reason.split())
            return f"{steps[-1]!r} of {scenario.title!r}: {scenario.verdict} {reason[:300]}".rstrip()
    return ""


def _end(step: StepRecord) -> str:
    end = datetime.fromisoformat(step.started) + timedelta(seconds=step.seconds)
    return end.isoformat(timespec="milliseconds").replace("+00:00", "Z") if step.seconds else "~"


def _misrecorded(path: Path, code: int, state: str) -> list[str]:
    """What a record must not say after such an end."""
    try:
        record = load(path)
    except LabError as error:
        return [f"the record cannot be read: {error}"]
    if state == "killed":
        return [f"the record says {record.state}"] * (record.state != state)
    under_way = [step.name for one in record.scenarios for step in one.steps if step.status == "running"]
    wrong = [f"the record says {record.state}"] * (record.state not in ("finished", "interrupted"))
    wrong += [f"steps that still run: {under_way}"] * bool(under_way)
    return wrong + [f"the exit code {code}, of the record {record.exit_code}"] * (code != record.exit_code)


class Cluster:
    """A lab as its administrator sees it, down to the nodes."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        path = Path(lab.virtlab("kubeconfig", "--admin").stdout.split()[-1])
        # Under another name than the harness's, whose requests are counted and judged.
        self._client = Client(Transport(kubeconfig.load(path), path, user_agent="test-of-virtlab"))
        self._nodes = [obj["metadata"]["name"] for obj in self._items("/api/v1/nodes")]

    def _get(self, path: str) -> Obj:
        found: Obj = json.loads(self._client.raw("GET", path, wanted=f"{path} as it is"))
        return found

    def _items(self, path: str) -> list[Obj]:
        return list(self._get(path)["items"])

    def state(self) -> State:
        """Everything that must be the same afterwards: objects without status, the nodes' network, their switches."""
        snapshot.refresh(self._client, self._nodes)
        found = {f"network of {node}": text for node, text in snapshot.take(self._client, self._nodes).items()}
        bases = ["/api/v1"]
        for group in self._get("/apis")["groups"]:
            bases += [f"/apis/{group['preferredVersion']['groupVersion']}"]
        for base in bases:
            for resource in self._get(base)["resources"]:
                group = base.split("/")[2] if base.startswith("/apis") else ""
                listed = "/" not in resource["name"] and "list" in (resource["verbs"] or ())
                if listed and (group, resource["name"]) not in RESTLESS:
                    for obj in self._items(f"{base}/{resource['name']}"):
                        meta = obj["metadata"]
                        key = f"{resource['name']}.{group} {meta.get('namespace', '')}/{meta['name']}"
                        found[key] = _canonical(obj)
        for node in self._nodes:
            done = self._lab.virtlab("node", "exec", node, "--", "sh", "-c", ON_NODE)
            found[f"switches of {node}"] = done.stdout
        return found

    def differences(self, before: State, may: re.Pattern[str] | None = None) -> list[str]:
        """What is not as it was, once time was given for what ends by itself; without what *may* differ."""
        end = time.monotonic() + SETTLED_S
        while True:
            found = _differences(before, self.state())
            found = [one for one in found if may is None or not may.fullmatch(one)]
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.5)

    def unread(self) -> bool:
        """Whether the nodes have no NodeNetworkState, so that nothing of theirs would be compared."""
        return not self._client.list(NNS)


def _canonical(obj: Obj) -> str:
    meta = {key: value for key, value in obj["metadata"].items() if key not in BY_ITSELF}
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    if "renewTime" in (rest.get("spec") or {}):
        rest["spec"] = {key: value for key, value in rest["spec"].items() if key != "renewTime"}
    return json.dumps({"metadata": meta, **rest}, sort_keys=True, indent=1)


def _differences(before: State, after: State) -> list[str]:
    found = [f"gone: {key}" for key in sorted(before.keys() - after.keys())]
    found += [f"left: {key}" for key in sorted(after.keys() - before.keys())]
    for key in sorted(before.keys() & after.keys()):
        old, new = before[key].splitlines(), after[key].splitlines()
        if old != new:
            lost, more = [line for line in old if line not in new], [line for line in new if line not in old]
            found.append(f"changed: {key}: {' '.join(lost)[:300]!r} is now {' '.join(more)[:300]!r}")
    return found
