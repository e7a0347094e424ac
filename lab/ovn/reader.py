"""Looking at a node's Open vSwitch from outside: through the container that OVN-Kubernetes runs there.

Only reads. Where the pod is not found or exec is refused, the error says so and the caller decides what to do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.access.client import Client
from lab.access.kinds import POD
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, LabError, OperatorMissing
from lab.core.result import CommandResult
from lab.ovn import bonds
from lab.ovn.bonds import Links
from lab.ovn.switch import ARGV, NodeSwitch, read_switch
from lab.target.inventory import Component


class SwitchReader:
    """Finds the ovnkube-node pod of each node once and asks it."""

    def __init__(self, client: Client, component: Component) -> None:
        self._client = client
        self._component = component
        self._pods: dict[str, str] = {}

    def run(self, node: str, argv: Sequence[str], *, role: str = "controller", deadline: Deadline) -> CommandResult:
        """A command in the container with that role on *node*. Raises OperatorMissing, and as Client.exec."""
        container = self._component.containers.get(role)
        if not container:
            raise OperatorMissing(
                f"the container of OVN-Kubernetes for {role}",
                "neither the target file nor the cluster tells",
                f"node {node}",
                "name namespace and containers in platform.ovn of the target file",
            )
        return self._client.exec(self._pod(node), self._component.namespace, container, argv, deadline=deadline)

    def read(self, node: str, *, deadline: Deadline) -> NodeSwitch:
        """The switch of *node*. Raises CommandFailed when ``ovs-vsctl`` fails or prints something else than asked."""
        result = self.run(node, ARGV, deadline=deadline)
        if not result.ok:
            raise CommandFailed(result, wanted=f"the state of Open vSwitch on {node}")
        try:
            return read_switch(node, result.stdout)
        except (ValueError, KeyError, IndexError) as error:
            raise CommandFailed(result, wanted=f"four tables of ovs-vsctl on {node} ({error})") from error

    def read_all(self, nodes: Sequence[str], *, deadline: Deadline) -> dict[str, NodeSwitch | LabError]:
        """The switches of several nodes, read at once; an error stands for a node that could not be read."""

        def one(node: str) -> NodeSwitch | LabError:
            try:
                return self.read(node, deadline=deadline)
            except LabError as error:
                self._pods.pop(node, None)
                return error

        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            return dict(zip(nodes, pool.map(one, nodes), strict=True))

    def links(self, node: str, *, deadline: Deadline) -> Links:
        """The bonds of *node* with their members. Raises CommandFailed when what is printed is not what was asked."""
        result = self.run(node, bonds.ARGV, deadline=deadline)
        try:
            return bonds.read_links(node, result.stdout)
        except (ValueError, KeyError, TypeError) as error:
            raise CommandFailed(result, wanted=f"links and bonds of {node} ({error})") from error

    def links_of(self, nodes: Sequence[str], *, deadline: Deadline) -> dict[str, Links]:
        """The same of several nodes, read at once. Raises as :meth:`links`."""
        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            return dict(zip(nodes, pool.map(lambda node: self.links(node, deadline=deadline), nodes), strict=True))

    def _pod(self, node: str) -> str:
        if node not in self._pods:
            found = self._client.list(POD, self._component.namespace, labels=self._component.labels)
            running = [p for p in found if (p.get("status") or {}).get("phase") == "Running"]
            self._pods = {str(p["spec"].get("nodeName")): str(p["metadata"]["name"]) for p in running}
        if node not in self._pods:
            raise OperatorMissing(
                f"a running pod with {self._component.labels} on {node}",
                f"such pods run on: {', '.join(sorted(self._pods)) or 'no node'}",
                f"namespace {self._component.namespace}",
                "correct platform.ovn in the target file",
            )
        return self._pods[node]
