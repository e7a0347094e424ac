"""What all scenarios of a run share on a cluster: the node policy of the moment, and the residents of its networks.

A policy is applied once and taken back at the end, since both cost a change of every node's network and the first one
30 s of spanning tree. Everything made here is registered with the run's undo stack before it is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lab.access.client import Client
from lab.access.kinds import NAMESPACE, NNCP, NODE, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import RUN_LABEL, dns_label, owned
from lab.core.undo import UndoStack
from lab.guest.keys import HostKeys, RunKey
from lab.guest.reach import Access
from lab.multus import attachment
from lab.nmstate import manifest as policies
from lab.nmstate import policy as nmstate
from lab.nmstate.state import NodeState, UplinkFinding, missing_nics, uplink_findings
from lab.ovn.reader import SwitchReader
from lab.target.inventory import Target, Vlan
from lab.topology import pods
from lab.topology.forwarding import wait_forwarding
from lab.topology.guard import leave_alone

RESIDENTS_S = 120.0
NAMESPACE_S = 60.0
PRIVILEGED = {"pod-security.kubernetes.io/enforce": "privileged"}
"""Residents give their own interface an address, which needs NET_ADMIN."""


class Site:
    """One cluster during one run."""

    def __init__(
        self,
        client: Client,
        target: Target,
        run_id: str,
        workers: Sequence[str],
        undo: UndoStack,
        folder: Path,
    ) -> None:
        self.client = client
        self.folder = folder
        self.access = Access(client, target, RunKey.generate(run_id), HostKeys())
        self.after_forwarding: list[Callable[[], object]] = []
        """Called each time that a new policy's networks were seen to forward; faults of a run are made then."""
        self.target = target
        self.run_id = run_id
        self.workers = tuple(workers)
        self.undo = undo
        self.reader = SwitchReader(client, target.platform.ovn)
        self.namespace = dns_label(f"virtlab-{run_id}-residents")
        self.residents: dict[int, list[pods.Resident]] = {}
        self.networks: dict[int, attachment.Attachment] = {}
        self.policy: Obj | None = None
        self.applied: nmstate.Applied | None = None
        self.fresh = False
        """Whether the policy changed since the networks were last seen to forward."""
        self._counts: dict[int, itertools.count[int]] = {}

    def console_log(self, name: str) -> Callable[[bytes], None]:
        """Appends what a guest's console says to ``console/<name>.log`` of the run."""
        path = self.folder / "console" / f"{name.replace('/', '_')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(data: bytes) -> None:
            with path.open("ab") as file:
                file.write(data)

        return write

    def next_index(self, vlan: int) -> int:
        """A number that no VM of this run had in that VLAN: its address and MAC follow from it."""
        return next(self._counts.setdefault(vlan, itertools.count()))

    def ensure_policy(self, manifest: Obj) -> nmstate.Applied:
        """Make *manifest* (as documented) the nodes' policy, adapted to this lab; does nothing when it is.

        Raises as nmstate.policy.apply, and EnvironmentBroken when a policy of that name is somebody else's or a
        worker has not the NICs that the target names.
        """
        wanted = self._adapted(manifest)
        if self.applied is not None and wanted == self.policy:
            return self.applied
        leave_alone(wanted, self.target)
        if self.policy is None:
            self._claim(wanted)
            self._check_nics(wanted)
            self.undo.push(f"node policy {wanted['metadata']['name']}", self._take_back)
        else:
            self._make_way(wanted)
        self.policy, self.applied, self.fresh = wanted, None, True
        self.applied = nmstate.apply(self.client, wanted)
        return self.applied

    def _adapted(self, manifest: Obj) -> Obj:
        bonds = [i["name"] for i in policies.interfaces(manifest) if i.get("type") == "bond"]
        ports = self.target.nics.bonds.get(bonds[0], ()) if bonds else ()
        key, _, value = self.target.node_selector.partition("=")
        selector = {key: value} if key else None
        return owned(policies.adapted(manifest, bond_ports=ports, node_selector=selector), self.run_id)

    def _claim(self, policy: Obj) -> None:
        """A policy of that name must be nobody's, or what a killed run left."""
        name = policy["metadata"]["name"]
        found = self.client.find(NNCP, name)
        if found is None:
            return
        owner = (found["metadata"].get("labels") or {}).get(RUN_LABEL)
        if not owner:
            raise EnvironmentBroken(
                f"the name {name} for a node policy of this run",
                "a policy of that name exists, and no run of virtlab made it",
                self.client.server,
                "take that policy back first, or run against another cluster",
            )
        trace.note(f"policy {name}", f"left by run {owner}; taken over")

    def _check_nics(self, policy: Obj) -> None:
        """The target's NICs must be on every worker: a policy that fails without them says nothing of the product."""
        for entry in policies.interfaces(policy):
            nics = (entry.get("link-aggregation") or {}).get("port") or []
            lacking = missing_nics(self.node_states(), nics)
            if lacking:
                raise EnvironmentBroken(
                    f"the NICs {', '.join(nics)} for {entry['name']} on every worker",
                    "; ".join(
                        f"{node} has no {', '.join(no)}, but {', '.join(have)}" for node, (no, have) in lacking.items()
                    ),
                    str(self.target.source),
                    f"correct nics.bonds.{entry['name']} in the target file (kubectl get nns shows what nodes have)",
                )

    def _make_way(self, wanted: Obj) -> None:
        """From one policy to the next with the bridge kept: a new one would listen and learn for 30 s again.

        A name must be given up as what it was (a bond, an internal port) before it can be something else.
        """
        assert self.policy is not None
        phantoms = {f.port for f in self.uplink_findings()}
        gained = {str(i["name"]) for i in policies.interfaces(wanted)}
        before = {str(i["name"]): str(i["type"]) for i in policies.interfaces(self.policy)}
        given_up = {name: kind for name, kind in before.items() if name not in gained}
        given_up |= dict.fromkeys(phantoms & gained, "ovs-interface")
        if given_up:
            trace.note("node policy", f"gives up {', '.join(sorted(given_up))} first")
            nmstate.apply(self.client, policies.without_ports(self.policy, given_up), blame="environment")

    def _take_back(self, deadline: Deadline) -> None:
        if self.policy is not None:
            nmstate.take_back(self.client, self.policy, deadline=deadline)
        self.policy = self.applied = None

    def mapped(self) -> Mapping[str, str]:
        """localnet -> bridge, as the policy of the moment wants them."""
        return policies.mappings(self.policy) if self.policy else {}

    def node_states(self) -> list[NodeState]:
        """What nmstate reports of the workers now."""
        return nmstate.node_states(self.client, self.workers)

    def uplink_findings(self, bridge: str = "") -> list[UplinkFinding]:
        """Why a bridge (every mapped one, if none is named) leads nowhere, by worker."""
        bridges = {bridge} if bridge else set(self.mapped().values())
        return [f for state in self.node_states() for b in sorted(bridges) for f in uplink_findings(state, b)]

    @staticmethod
    def say(texts: Iterable[str]) -> None:
        """Remarks for the person who watches, and for the record."""
        for text in texts:
            trace.note("", text)

    def ensure_residents(self, vlan: Vlan, nad: Obj, template: Obj) -> None:
        """One resident per worker in that VLAN, Running; made once per run."""
        if vlan.id in self.residents:
            return
        if not self.residents:
            self._make_namespace()
        self._make_network(vlan, nad)
        hostnames = self._hostnames()
        made = [
            pods.Resident(
                pod=dns_label(f"resident-{vlan.id}-{node}"),
                namespace=self.namespace,
                node=node,
                vlan=vlan.id,
                address=pods.address_for(vlan, index).partition("/")[0],
            )
            for index, node in enumerate(self.workers)
        ]
        self.residents[vlan.id] = made
        for resident in made:
            body = pods.manifest(
                template,
                resident,
                nad=str(nad["metadata"]["name"]),
                hostname=hostnames[resident.node],
                prefix=vlan.prefix,
                image=self.target.pod_image,
                run=self.run_id,
            )
            self.client.create(body)

    def wait_residents(self) -> None:
        """Wait until every resident runs."""
        names = [r.pod for found in self.residents.values() for r in found]
        pods.wait_running(self.client, self.namespace, names, deadline=Deadline.after(RESIDENTS_S))

    def wait_forwarding(self) -> None:
        """Wait until spanning tree lets every network with residents pass on every worker, after each new policy."""
        if not self.fresh:
            return
        networks = {n.localnet: n.network for n in self.networks.values()}
        wait_forwarding(self.reader, self.workers, networks)
        self.fresh = False
        for call in self.after_forwarding:
            call()

    def _make_namespace(self) -> None:
        self.undo.push(f"namespace {self.namespace}", lambda d: self.client.delete(NAMESPACE, self.namespace, wait=d))
        self.client.create(namespace(self.namespace, self.run_id))

    def _make_network(self, vlan: Vlan, nad: Obj) -> None:
        adapted = attachment.adapted(nad, namespace=self.namespace)
        self.networks[vlan.id] = attachment.read_attachment(adapted)
        self.client.create(owned(adapted, self.run_id))

    def _hostnames(self) -> dict[str, str]:
        nodes = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in self.client.list(NODE)}
        return {name: str(labels.get("kubernetes.io/hostname", name)) for name, labels in nodes.items()}


def namespace(name: str, run_id: str) -> Obj:
    """A namespace of this run in which residents may have NET_ADMIN."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(PRIVILEGED)}}
    return owned(body, run_id)
