"""The node policies of a feature: each adapted to the lab, guarded, applied once, and taken back at the end.

Several stand side by side, by name. One that a later scenario wants in another form under the same name is led over
from the former with its bridge kept, since a new bridge with spanning tree would listen and learn for 30 s again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.access.client import Client
from lab.access.kinds import NNCP, NODE, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.names import RUN_LABEL, owned
from lab.core.undo import UndoStack
from lab.nmstate import manifest, restore
from lab.nmstate import policy as nmstate
from lab.nmstate.state import NodeState, UplinkFinding, missing_nics, taken_nics, uplink_findings
from lab.target.inventory import Target
from lab.topology import snapshot
from lab.topology.guard import leave_alone


class Policies:
    """What this feature made of the nodes' network."""

    def __init__(self, client: Client, target: Target, run_id: str, workers: Sequence[str], undo: UndoStack) -> None:
        self._client = client
        self._target = target
        self._run_id = run_id
        self._workers = tuple(workers)
        self._undo = undo
        self._now: dict[str, list[Obj]] = {}
        """Name in the manifest -> the policies that stand for it, as they were applied."""

    def ensure(self, document: Obj, *, disruptive: bool = False, checked: bool = True) -> bool:
        """Make a documented policy, adapted to this lab, the nodes' own; returns whether anything was applied.

        Unless it is *checked*, NICs are not looked at before: for a policy that is meant to be refused by the platform.

        Raises as nmstate.policy.apply; UsageError when it touches what it must not; EnvironmentBroken when a policy of
        that name is somebody else's, a worker lacks a NIC that the target names, or has what the policy would make.
        """
        name = str(document["metadata"]["name"])
        wanted = self._adapted(document)
        if self._is(name, wanted):
            return False
        for policy in wanted:
            leave_alone(policy, self._target, disruptive=disruptive)
        if name in self._now:
            self._make_way(name, wanted)
            wanted = [self._with_former(p, old) for p, old in zip(wanted, self._now[name], strict=True)]
        else:
            wanted = [self._prepared(policy, checked) for policy in wanted]
        self._now[name] = wanted
        for policy in wanted:
            nmstate.apply(self._client, policy)
        return True

    def _is(self, name: str, wanted: Sequence[Obj]) -> bool:
        return [p["spec"] for p in self._now.get(name, ())] == [p["spec"] for p in wanted]

    def _adapted(self, document: Obj) -> list[Obj]:
        """One policy, or one per worker where the target has other NICs on some."""
        nics = self._target.nics
        links = {str(i["name"]): str(i.get("type")) for i in manifest.interfaces(document)}
        name = str(document["metadata"]["name"])
        if not any(nics.exceptions(link, kind) for link, kind in links.items()):
            key, _, value = self._target.node_selector.partition("=")
            ports = {link: nics.ports(link, kind) for link, kind in links.items()}
            one = manifest.adapted(document, ports=ports, node_selector={key: value} if key else None)
            return [owned(one, self._run_id)]
        hostnames = self._hostnames()
        found = []
        for node in self._workers:
            ports = {link: nics.ports(link, kind, node) for link, kind in links.items()}
            selector = {nmstate.HOSTNAME: hostnames[node]}
            one = manifest.adapted(document, ports=ports, node_selector=selector, name=restore.own_name(name, node))
            found.append(owned(one, self._run_id))
        return found

    def _hostnames(self) -> dict[str, str]:
        nodes = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in self._client.list(NODE)}
        return {name: str(labels.get(nmstate.HOSTNAME, name)) for name, labels in nodes.items()}

    def _nodes_of(self, policy: Obj) -> list[str]:
        return [n for n in nmstate.matching_nodes(self._client, policy) if n in self._workers]

    def _prepared(self, policy: Obj, checked: bool) -> Obj:
        """The policy with what it will take from the nodes; its undo is registered."""
        self._claim(policy)
        if self._now:
            # An enactment is Available before the node's new state is reported: a NIC just taken would still look free.
            snapshot.refresh(self._client, self._workers)
        if checked:
            self._check_nics(policy, nmstate.node_states(self._client, self._nodes_of(policy)))
        prepared = self._with_former(policy)
        name = str(policy["metadata"]["name"])
        self._undo.push(
            f"node policy {name}", lambda deadline: nmstate.take_back(self._client, policy, deadline=deadline)
        )
        return prepared

    def _with_former(self, policy: Obj, old: Obj | None = None) -> Obj:
        states = nmstate.raw_states(self._client, self._nodes_of(policy))
        return restore.written(policy, restore.former(policy, states, old))

    def _claim(self, policy: Obj) -> None:
        """A policy of that name must be nobody's."""
        name = policy["metadata"]["name"]
        found = self._client.find(NNCP, name)
        if found is None:
            return
        owner = (found["metadata"].get("labels") or {}).get(RUN_LABEL)
        raise EnvironmentBroken(
            f"the name {name} for a node policy of this run",
            f"a policy of that name exists, made by run {owner}"
            if owner
            else "a policy of that name exists, and no run of virtlab made it",
            self._client.server,
            f"virtlab clean --target {self._target.source}" if owner else "take that policy back first",
        )

    def _check_nics(self, policy: Obj, states: Sequence[NodeState]) -> None:
        """The NICs must be there and nobody else's: a policy that fails for that says nothing of the product."""
        for entry in manifest.interfaces(policy):
            nics = [str(n) for n in (entry.get("link-aggregation") or {}).get("port") or []]
            if entry.get("type") == "linux-bridge":
                nics = [str(p["name"]) for p in (entry.get("bridge") or {}).get("port") or []]
            nics = [nic for nic in nics if nic not in manifest.made(policy)]
            lacking = missing_nics(states, nics)
            key = f"nics.{'bonds' if entry.get('type') == 'bond' else 'bridges'}.{entry.get('name')}"
            if lacking:
                raise EnvironmentBroken(
                    f"the NICs {', '.join(nics)} for {entry['name']} on every worker",
                    "; ".join(
                        f"{node} has no {', '.join(no)}, but {', '.join(have)}" for node, (no, have) in lacking.items()
                    ),
                    str(self._target.source),
                    f"correct {key} in the target file (`virtlab nics` shows what nodes have)",
                )
            if taken := taken_nics(states, nics):
                raise EnvironmentBroken(
                    f"the NICs {', '.join(nics)} for {entry['name']} free on every worker",
                    "; ".join(taken),
                    str(self._target.source),
                    f"correct {key} in the target file, or take away what uses them (`virtlab nics` shows it)",
                )

    def _make_way(self, name: str, wanted: Sequence[Obj]) -> None:
        """A name must be given up as what it was (a bond, an internal port) before it can be something else."""
        phantoms = {f.port for f in self.uplink_findings()}
        for old, new in zip(self._now[name], wanted, strict=True):
            gained = {str(i["name"]) for i in manifest.interfaces(new)}
            before = {str(i["name"]): str(i["type"]) for i in manifest.interfaces(old)}
            given_up = {link: kind for link, kind in before.items() if link not in gained}
            given_up |= dict.fromkeys(phantoms & gained, "ovs-interface")
            if given_up:
                trace.note("node policy", f"gives up {', '.join(sorted(given_up))} first")
                nmstate.apply(self._client, manifest.without_ports(old, given_up), blame="environment")

    def wait_ended(self, name: str, deadline: Deadline) -> None:
        """Wait until every node has come to an end with a policy that failed. Raises as nmstate.policy.wait_ended."""
        for policy in self._now.get(name, ()):
            nmstate.wait_ended(self._client, policy, deadline=deadline)

    def take_back(self, name: str, deadline: Deadline) -> None:
        """Take a policy back before the feature's end. Raises as nmstate.policy.take_back."""
        for policy in self._now.pop(name, []):
            nmstate.take_back(self._client, policy, deadline=deadline)

    @property
    def names(self) -> list[str]:
        """The policies that stand now, as their manifests name them."""
        return list(self._now)

    @property
    def applied(self) -> list[Obj]:
        """Every policy that stands now."""
        return [policy for policies in self._now.values() for policy in policies]

    def mapped(self) -> Mapping[str, str]:
        """localnet -> bridge, as the policies of the moment want them."""
        return {localnet: bridge for p in self.applied for localnet, bridge in manifest.mappings(p).items()}

    def bridges(self) -> set[str]:
        """The Linux bridges that the policies of the moment want."""
        wanted = [i for p in self.applied for i in manifest.interfaces(p) if i.get("type") == "linux-bridge"]
        return {str(i["name"]) for i in wanted if i.get("state") != "absent"}

    def node_states(self) -> list[NodeState]:
        """What nmstate reports of the workers now."""
        return nmstate.node_states(self._client, self._workers)

    def uplink_findings(self, bridge: str = "") -> list[UplinkFinding]:
        """Why a bridge (every mapped one, if none is named) leads nowhere, by worker."""
        bridges = {bridge} if bridge else set(self.mapped().values())
        return [f for state in self.node_states() for b in sorted(bridges) for f in uplink_findings(state, b)]
