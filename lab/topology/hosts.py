"""A shell on each worker itself: a small pod in the node's own network, so that what a worker reaches is tried there.

The pods are a feature's, made when first asked for. They observe; they must not change the node.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from lab.access.client import Client
from lab.access.kinds import ENDPOINTS, NAMESPACE, NODE, Obj, condition
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import dns_label, owned
from lab.core.result import CommandResult
from lab.probes.observation import Observation, retry_inconclusive
from lab.probes.ping import PingObservation, ping
from lab.probes.tcp import tcp
from lab.topology import pods, snapshot
from lab.topology.ground import namespace
from lab.topology.manifests import Manifests
from lab.topology.site import Site

T = TypeVar("T")
MANIFEST = "worker"
RUNNING_S = 120.0
CHECK_S = 60.0
INTERVAL_S = 0.2


class HostShell:
    """Commands in a worker's own network."""

    def __init__(self, client: Client, pod: str, namespace: str, container: str, node: str) -> None:
        self._client, self._pod, self._namespace, self._container = client, pod, namespace, container
        self._node = node

    @property
    def place(self) -> str:
        return self._node

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """As Client.exec."""
        return self._client.exec(self._pod, self._namespace, self._container, argv, deadline=deadline)

    def close(self) -> None:
        """Nothing is held open between commands."""


@dataclass
class Noted:
    """The workers before a change: since when each is Ready, its address, its network."""

    ready: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    network: snapshot.State = field(default_factory=dict)


class WorkerHosts:
    """The workers of a feature as hosts."""

    def __init__(self, site: Site, manifests: Manifests) -> None:
        self.site = site
        self.noted = Noted()
        self._manifests = manifests
        self._shells: dict[str, HostShell] = {}

    def note(self) -> Noted:
        """Read the workers as they are now; what follows is compared with it."""
        client, workers = self.site.client, self.site.workers
        snapshot.refresh(client, workers)
        self.noted = Noted(self.ready_since(), self.addresses(), snapshot.take(client, workers))
        return self.noted

    def _nodes(self) -> dict[str, Obj]:
        found = {str(n["metadata"]["name"]): n for n in self.site.client.list(NODE)}
        return {name: found[name] for name in self.site.workers if name in found}

    def ready_since(self) -> dict[str, str]:
        """Worker -> the time at which its condition Ready became True; empty while it is not."""
        conditions = {name: condition(node, "Ready") for name, node in self._nodes().items()}
        return {
            name: str(found.get("lastTransitionTime", "")) if found.get("status") == "True" else ""
            for name, found in conditions.items()
        }

    def addresses(self) -> dict[str, str]:
        """Worker -> the address that it is known by (InternalIP)."""
        return {
            name: str(entry["address"])
            for name, node in self._nodes().items()
            for entry in (node.get("status") or {}).get("addresses") or []
            if entry.get("type") == "InternalIP" and ":" not in str(entry.get("address"))
        }

    def shells(self) -> Mapping[str, HostShell]:
        """A shell on each worker; makes the pods and waits for them when they are not there yet."""
        if not self._shells:
            self._shells = self._make()
        return self._shells

    def _make(self) -> dict[str, HostShell]:
        client, run = self.site.client, self.site.run_id
        mine = dns_label(f"virtlab-{run}-{self.site.feature}-hosts")
        self.site.undo.push(f"namespace {mine}", lambda d: client.delete(NAMESPACE, mine, wait=d))
        client.create(namespace(mine, run))
        template = self._manifests[MANIFEST]
        names = {node: dns_label(f"{MANIFEST}-{node}") for node in self.site.workers}
        for node, name in names.items():
            client.create(owned(self._pod(template, mine, name, node), run))
        pods.wait_running(client, mine, list(names.values()), deadline=Deadline.after(RUNNING_S))
        container = str(template["spec"]["containers"][0]["name"])
        return {node: HostShell(client, name, mine, container, node) for node, name in names.items()}

    def _pod(self, template: Obj, namespace: str, name: str, node: str) -> Obj:
        pod = copy.deepcopy(template)
        pod["metadata"] |= {"name": name, "namespace": namespace}
        pod["spec"]["nodeName"] = node
        pod["spec"]["containers"][0]["image"] = self.site.target.pod_image
        return pod

    def on_each(self, act: Callable[[HostShell, Deadline], T]) -> dict[str, T]:
        """Do something on every worker at once."""
        shells, deadline = self.shells(), Deadline.after(CHECK_S)
        self.site.settle()
        with ThreadPoolExecutor(len(shells)) as pool:
            jobs = {node: pool.submit(act, shell, deadline) for node, shell in shells.items()}
            return {node: job.result() for node, job in jobs.items()}

    def ping(self, address: str) -> dict[str, PingObservation]:
        """What each worker sees of an address."""
        count = self.site.target.thresholds.ping_count

        def one(shell: HostShell, deadline: Deadline) -> PingObservation:
            def once() -> PingObservation:
                return ping(shell, address, count=count, interval_s=INTERVAL_S, deadline=deadline)

            return retry_inconclusive(once, deadline)

        return self.on_each(one)

    def connect(self, address: str, port: int) -> dict[str, Observation]:
        """Whether each worker can open a TCP connection."""

        def one(shell: HostShell, deadline: Deadline) -> Observation:
            return retry_inconclusive(lambda: tcp(shell, address, port, deadline=deadline), deadline)

        return self.on_each(one)

    def links_of(self, addresses: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Worker -> the links that carry its address, as the node's own kernel lists them."""

        def one(shell: HostShell, deadline: Deadline) -> str:
            result = shell.run(["ip", "-4", "-o", "addr", "show"], deadline=deadline)
            if not result.ok:
                raise EnvironmentBroken(f"the addresses of {shell.place}", str(result))
            return result.stdout

        listed = self.on_each(one)
        return {node: carriers(text, addresses.get(node, "")) for node, text in listed.items()}

    def api_servers(self) -> list[tuple[str, int]]:
        """Where nodes reach the API: the endpoints of the Service ``kubernetes``."""
        endpoints = self.site.client.get(ENDPOINTS, "kubernetes", "default")
        found = [
            (str(address["ip"]), int(port["port"]))
            for subset in endpoints.get("subsets") or []
            for address in subset.get("addresses") or []
            for port in subset.get("ports") or []
        ]
        if not found:
            raise EnvironmentBroken("endpoints of the Service kubernetes", "it has none", "namespace default")
        return found


def carriers(text: str, address: str) -> tuple[str, ...]:
    """The links that have an IPv4 address, in the output of ``ip -4 -o addr``; pure."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[2] == "inet" and words[3].partition("/")[0] == address:
            found.append(words[1].rstrip(":").partition("@")[0])
    return tuple(found)
