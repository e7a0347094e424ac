"""Residents: one small pod per worker and segment that stays for a whole feature.

OVN makes the patch port between br-int and a mapped bridge only while something on that worker is in the network, and
spanning tree holds a new port for 15 s of listening and 15 s of learning: without a resident, every VM that first
arrives at a worker is dark for 30 s. A resident is the witness, too, that tells a VM's fault from its worker's.
"""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import EVENT, POD, Obj
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import owned
from lab.core.result import CommandResult
from lab.core.wait import Seen, Signal, wait_until
from lab.multus.attachment import NETWORKS
from lab.target.inventory import Segment

CONTAINER = "resident"
PER_WORKER = "virtlab.dev/per-worker"
"""Annotation of a resident's manifest: how many of them each worker has; one without it."""
ENDED = ("Succeeded", "Failed")
PULL_TROUBLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


@dataclass(frozen=True)
class Resident:
    """One resident: where it is, and the address it has in its segment."""

    pod: str
    namespace: str
    node: str
    segment: str
    address: str
    number: int = 0
    """The last byte of its MAC address, where its manifest gives it one."""


def per_worker(template: Obj) -> int:
    """How many residents each worker has by their manifest."""
    return int((template["metadata"].get("annotations") or {}).get(PER_WORKER, "1"))


def address_for(segment: Segment, index: int) -> str:
    """The index-th address from the end of a segment's pool, with prefix length; guests take theirs from the start."""
    first, last = (int(ipaddress.ip_address(a)) for a in segment.pool)
    return segment.with_prefix(last - first - index)


def manifest(template: Obj, resident: Resident, *, nad: str, hostname: str, prefix: int, image: str, run: str) -> Obj:
    """The pod of a resident from the literal manifest; pure."""
    pod = copy.deepcopy(template)
    meta, spec = pod["metadata"], pod["spec"]
    meta |= {"name": resident.pod, "namespace": resident.namespace}
    annotations = meta.get("annotations") or {}
    meta["annotations"] = {**annotations, NETWORKS: _networks(str(annotations.get(NETWORKS, "")), nad, resident.number)}
    spec["nodeSelector"] = {"kubernetes.io/hostname": hostname}
    container = spec["containers"][0]
    container["image"] = image
    container["command"][-1] = f"{resident.address}/{prefix}"
    return owned(pod, run)


def _networks(documented: str, nad: str, number: int) -> str:
    """The networks annotation: the NAD's name, or what the manifest has in JSON with that name and MAC address."""
    if not documented.lstrip().startswith("["):
        return nad
    entry = {**json.loads(documented)[0], "name": nad}
    if mac := str(entry.get("mac", "")):
        entry["mac"] = f"{mac.rpartition(':')[0]}:{number:02x}"
    return json.dumps([entry])


def wait_running(client: Client, namespace: str, names: Sequence[str], *, deadline: Deadline) -> None:
    """Wait until all pods named are Running.

    Raises EnvironmentBroken for an image that cannot be pulled, WaitHopeless for one that ended, WaitTimeout with the
    last warning of each other pod.
    """
    signal = Signal()
    with (
        client.watch(POD, "", namespace, signal=signal) as pods,
        client.watch(EVENT, "", namespace, signal=signal) as events,
    ):

        def observe() -> Seen[None]:
            while pods.take(0) or events.take(0):
                pass
            return judge(names, pods.items.values(), events.items.values())

        wait_until(
            f"pods in {namespace}",
            f"{len(names)} pods Running",
            observe,
            deadline=deadline,
            changes=signal,
            advice=f"kubectl -n {namespace} describe pods",
        )


def judge(names: Sequence[str], pods: Iterable[Obj], events: Iterable[Obj]) -> Seen[None]:
    """What pods and events say; pure. Raises EnvironmentBroken for an image that cannot be pulled."""
    found = {str(p["metadata"]["name"]): p for p in pods}
    warnings = {
        str((e.get("involvedObject") or {}).get("name")): f"{e.get('reason')}: {e.get('message')}"
        for e in events
        if e.get("type") == "Warning"
    }
    waiting, ended = [], []
    for name in names:
        status = (found.get(name) or {}).get("status") or {}
        if status.get("phase") == "Running":
            continue
        if status.get("phase") in ENDED:
            ended.append(f"{name} is {status['phase']}")
        if (trouble := _pull_trouble(status)) is not None:
            raise EnvironmentBroken(f"pod {name} Running", trouble, advice="correct `pod-image` in the target file")
        waiting.append(f"{name} {status.get('phase') or 'not there'} {warnings.get(name, '')}".strip())
    running = len(names) - len(waiting)
    text = f"{running} of {len(names)} Running" + "".join(f", {w}" for w in waiting)
    return Seen(text, not waiting, hopeless=f"{', '.join(ended)}: it will not run again" if ended else "")


def _pull_trouble(status: Obj) -> str | None:
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in PULL_TROUBLE:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return None


def run_in(client: Client, resident: Resident, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
    """A command in a resident. Raises as Client.exec."""
    return client.exec(resident.pod, resident.namespace, CONTAINER, argv, deadline=deadline)


class PodShell:
    """A resident as a shell, so that probes run in it as in a guest."""

    def __init__(self, client: Client, resident: Resident) -> None:
        self._client = client
        self._resident = resident

    @property
    def place(self) -> str:
        return f"the resident pod on {self._resident.node}"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """As Client.exec."""
        return run_in(self._client, self._resident, argv, deadline=deadline)

    def close(self) -> None:
        """Nothing is held open between commands."""
