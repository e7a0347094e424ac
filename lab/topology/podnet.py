"""A VM on the pod network and who talks to it: one pod per worker, so one in every OVN zone.

The pods are made once for a feature. A look takes one round of many connections from all of them at once. What the pods
and the guest remember of each other's MAC address is forgotten before: OVN-Kubernetes sends no gratuitous ARP when a VM
has moved, so that neighbours of its home subnet would keep sending to its old port for up to a minute, whatever the
routes say. How many did is told.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import POD, VMI, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import dns_label, owned
from lab.guest.shell import Shell
from lab.probes.connections import CONNECTIONS, ConnectionsObservation, connections
from lab.probes.observation import retry_inconclusive
from lab.target.inventory import Segment
from lab.topology import pods
from lab.topology.ground import Ground

RUNNING_S = 120.0
LOOK_S = 60.0
SSH_PORT = 22
FIRST_PORT, PAST_PORT = 20_000, 32_000
"""Source ports, below those that a kernel gives away by itself."""
POD_NETWORK = Segment("the pod network", gateway="", subnet="", pool=("", ""))
"""Where guests are that are on no segment of the target."""
ANNOTATION = "k8s.ovn.org/pod-networks"
FORGET = 'sudo -n ip neigh flush dev "$(ip route | sed -n "s/^default.* dev \\([^ ]*\\).*/\\1/p" | head -n 1)"'


@dataclass(frozen=True)
class Launcher:
    """The running launcher pod of a VM: where it is, and the addresses it was given."""

    pod: str
    node: str
    address: str
    mac: str


class ZonePods:
    """One pod per worker on the pod network."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.namespace = ground.name
        self._made: list[pods.Resident] = []
        self._running: list[pods.Resident] = []
        self._ports = itertools.cycle(range(FIRST_PORT, PAST_PORT - CONNECTIONS, CONNECTIONS))
        self._lock = threading.Lock()

    def ensure(self, template: Obj) -> None:
        """Make them once; not waited for."""
        if self._made:
            return
        self._ground.prepare()
        for node in self._ground.workers:
            pod = pods.Resident(dns_label(f"pod-{node}"), self.namespace, node, POD_NETWORK.name, "")
            self._ground.client.create(manifest(template, pod, self._ground.target.pod_image, self._ground.run_id))
            self._made.append(pod)

    @property
    def made(self) -> tuple[pods.Resident, ...]:
        """Those that run, with their addresses; none before anybody asked for `all`."""
        return tuple(self._running)

    def all(self) -> list[pods.Resident]:
        """They, running, with their addresses. Raises as pods.wait_running, and EnvironmentBroken for none made."""
        if not self._made:
            raise EnvironmentBroken("pods in every zone", "none were made", advice="Given a pod on every worker")
        if not self._running:
            names = [pod.pod for pod in self._made]
            pods.wait_running(self._ground.client, self.namespace, names, deadline=Deadline.after(RUNNING_S))
            found = {p["metadata"]["name"]: p for p in self._ground.client.list(POD, self.namespace)}
            self._running = [
                pods.Resident(p.pod, p.namespace, p.node, p.segment, str(found[p.pod]["status"].get("podIP", "")))
                for p in self._made
            ]
        return self._running

    def connect(self, address: str, port: int = SSH_PORT) -> dict[str, ConnectionsObservation]:
        """By worker: what became of connections to *address* from its pod, all at the same time."""
        clients, deadline = self.all(), Deadline.after(LOOK_S)

        def one(pod: pods.Resident) -> ConnectionsObservation:
            def look() -> ConnectionsObservation:
                with self._lock:
                    first = next(self._ports)
                return connections(
                    pods.PodShell(self._ground.client, pod), address, port, first=first, deadline=deadline
                )

            return retry_inconclusive(look, deadline)

        with ThreadPoolExecutor(len(clients)) as pool:
            return dict(zip((pod.node for pod in clients), pool.map(one, clients), strict=True))


def manifest(template: Obj, pod: pods.Resident, image: str, run: str) -> Obj:
    """The pod of one zone from the literal manifest; pure."""
    body = copy.deepcopy(template)
    body["metadata"] |= {"name": pod.pod, "namespace": pod.namespace}
    body["spec"]["nodeName"] = pod.node
    body["spec"]["containers"][0] |= {"name": pods.CONTAINER, "image": image}
    return owned(body, run)


def launcher(client: Client, namespace: str, name: str) -> Launcher:
    """The pod that runs a VM. Raises as `running`."""
    vmi = client.get(VMI, name, namespace)
    return running(vmi, client.list(POD, namespace, labels=f"kubevirt.io/created-by={vmi['metadata']['uid']}"))


def running(vmi: Obj, launchers: Iterable[Obj]) -> Launcher:
    """Which of a VM's pods runs it; pure. Those that ended still show its address.

    Raises EnvironmentBroken when there is not exactly one that runs on the VM's node and has an address.
    """
    node = str((vmi.get("status") or {}).get("nodeName", ""))
    found = [
        Launcher(str(pod["metadata"]["name"]), node, str(pod["status"].get("podIP", "")), _mac(pod))
        for pod in launchers
        if (pod.get("status") or {}).get("phase") == "Running" and pod["spec"].get("nodeName") == node
    ]
    if len(found) != 1 or not found[0].address:
        raise EnvironmentBroken(
            f"the running launcher pod of VM {vmi['metadata']['name']} on {node or 'a node'}, with an address",
            ", ".join(f"{pod.pod} with {pod.address or 'no address'}" for pod in found) or "none",
            f"namespace {vmi['metadata'].get('namespace')}",
        )
    return found[0]


def _mac(pod: Obj) -> str:
    """What OVN-Kubernetes gave the pod on the pod network; empty when it does not say."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        given = json.loads(pod["metadata"]["annotations"][ANNOTATION])
        return str(given["default"]["mac_address"]).lower()
    return ""


def forget_neighbours(shell: Shell) -> None:
    """Let a guest ask for its neighbours' MAC addresses again; one that cannot be made to is left as it is."""
    done = shell.run(["sh", "-c", FORGET], deadline=Deadline.after(LOOK_S))
    if not done.ok:
        trace.note(shell.place, f"keeps what it knows of its neighbours: {done.output.strip()[:200]}")
