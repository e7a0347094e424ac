"""Applying a node policy and waiting for every node it is meant for; taking it back.

The policy's own status is not enough: it has no observedGeneration, keeps its old conditions after an update, and
flaps to Degraded between retries (kubernetes-nmstate controllers/handler). So each matching node's enactment
``<node>.<policy>`` is judged: it must carry the policy's generation. Available says that nmstate is content, never that
a packet passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.errors import ApiError, Rejected
from lab.access.kinds import NNCE, NNCP, NNS, NODE, POD, Obj, condition, kind_of
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import UsageError
from lab.core.names import RUN_LABEL
from lab.core.wait import Blame, Periodic, Seen, Signal, wait_until
from lab.nmstate import restore
from lab.nmstate.state import NodeState, read_state

POLICY_S = 600.0
"""kubernetes-nmstate's own tests wait that long (test/e2e/policy/conditions.go, RollbackTimeout)."""
HANDLERS = "component=kubernetes-nmstate-handler"
POLICY_LABEL = "nmstate.io/policy"
HOSTNAME = "kubernetes.io/hostname"
ENDED = frozenset({"Available", "Failing", "Aborted"})
IN_PROGRESS = "still in progress"


@dataclass(frozen=True)
class Applied:
    """A policy that every one of its nodes reports as configured."""

    name: str
    generation: int
    nodes: tuple[str, ...]


def matching_nodes(client: Client, policy: Obj) -> tuple[str, ...]:
    """The nodes that have a nmstate handler and all labels of the policy's node selector, sorted."""
    selector: Mapping[str, str] = (policy.get("spec") or {}).get("nodeSelector") or {}
    handled = {str((p.get("spec") or {}).get("nodeName", "")) for p in client.list(POD, labels=HANDLERS)}
    found = (n["metadata"] for n in client.list(NODE))
    return tuple(
        sorted(m["name"] for m in found if m["name"] in handled and selector.items() <= (m.get("labels") or {}).items())
    )


def apply(client: Client, policy: Obj, *, deadline: Deadline | None = None, blame: Blame = "product") -> Applied:
    """Apply a policy and wait until every matching node reports it as configured.

    The server is asked in a dry run first, so that a policy which it refuses changes nothing.

    Raises:
        UsageError: the policy matches no node; the message lists the nodes and their handlers.
        Rejected: the server refuses the policy, or does not serve its apiVersion; then the advice names those it does.
        KindMissing: it serves no version of it.
        WaitHopeless: an enactment failed for good (Failing and no longer Progressing) or was aborted.
        WaitTimeout: the nodes were not done in time (600 s unless a deadline is given).
    """
    deadline = deadline or Deadline.after(POLICY_S)
    _served(client, policy)
    nodes = matching_nodes(client, policy)
    if not nodes:
        raise _no_node(client, policy)
    name = str(policy["metadata"]["name"])
    with trace.span("lab", f"policy {name}", f"applying to {', '.join(nodes)}"):
        _accepted(client, policy, dry_run=True, deadline=deadline)
        stored = _accepted(client, policy, dry_run=False, deadline=deadline)
        generation = int(stored["metadata"].get("generation") or 1)
        wait_configured(client, name, generation, nodes, deadline=deadline, blame=blame)
    return Applied(name, generation, nodes)


def _served(client: Client, policy: Obj) -> None:
    """Refuse a version that is gone from this cluster, in the words that kubectl has for it."""
    kind = kind_of(policy)
    if client.serves(kind):
        return
    versions = client.discovery.versions(kind)
    if not versions:
        client.path(kind)
        return
    text = f'no matches for kind "{kind.kind}" in version "{kind.api_version}"'
    raise Rejected(
        f"the policy {policy['metadata']['name']} accepted as {kind.api_version}",
        client.server,
        status=404,
        reason="NotFound",
        message=text,
        found=text,
        advice=f"write apiVersion: {versions[0]} in its manifest; this cluster serves {', '.join(versions)}",
    )


def _no_node(client: Client, policy: Obj) -> UsageError:
    names = [str(n["metadata"]["name"]) for n in client.list(NODE)]
    selector = (policy.get("spec") or {}).get("nodeSelector") or {}
    return UsageError(
        f"a node for the policy {policy['metadata']['name']} (node selector {selector}, with a nmstate handler)",
        f"{len(names)} nodes ({', '.join(names) or 'none'}), none of which has all of it",
        client.server,
        "correct the node selector in the target file, or check the nmstate handler pods",
    )


def _accepted(client: Client, policy: Obj, *, dry_run: bool, deadline: Deadline) -> Obj:
    """Apply; a policy in progress may not be changed (403, validating admission), which passes by itself."""
    name = policy["metadata"]["name"]

    def attempt() -> Seen[Obj]:
        try:
            return Seen("accepted", True, client.apply(policy, force=True, dry_run=dry_run, deadline=deadline))
        except ApiError as error:
            if error.status != 403 or IN_PROGRESS not in error.message:
                raise
            return Seen(error.message)

    stored = wait_until(
        f"policy {name}",
        "the server to accept it" + (" (dry run)" if dry_run else ""),
        attempt,
        deadline=deadline,
        changes=Periodic(0.5, "an admission rule answers only when asked"),
    )
    assert stored is not None
    return stored


def wait_configured(
    client: Client,
    name: str,
    generation: int,
    nodes: Sequence[str],
    *,
    deadline: Deadline,
    blame: Blame = "product",
) -> None:
    """Wait for the enactments of one generation of a policy on *nodes*."""
    signal = Signal()
    with client.watch(NNCE, labels=f"{POLICY_LABEL}={name}", signal=signal) as watch:

        def observe() -> Seen[None]:
            while watch.take(0):
                pass
            return judge(watch.items.values(), name, generation, nodes)

        wait_until(
            f"policy {name}",
            f"Available on {', '.join(nodes)}",
            observe,
            deadline=deadline,
            changes=signal,
            blame=blame,
            advice=f"kubectl get nncp,nnce; kubectl get nnce <node>.{name} -o yaml",
        )


def wait_ended(client: Client, policy: Obj, *, deadline: Deadline) -> None:
    """Wait until every node has come to an end with a policy, well or badly, and the policy says so itself.

    A failure is known when the first node has failed; others may still be at work then, or rolling back.
    """
    name, nodes = str(policy["metadata"]["name"]), matching_nodes(client, policy)
    generation = int(client.get(NNCP, name)["metadata"].get("generation") or 1)
    signal = Signal()
    with (
        client.watch(NNCE, labels=f"{POLICY_LABEL}={name}", signal=signal) as enactments,
        client.watch(NNCP, name, signal=signal) as policies,
    ):

        def observe() -> Seen[None]:
            while enactments.take(0) or policies.take(0):
                pass
            by_node = {str(e["metadata"]["name"]).removesuffix(f".{name}"): e for e in enactments.items.values()}
            states = {node: enactment_state(by_node.get(node), generation) for node in nodes}
            told = [t for t in ("Available", "Degraded") if any(_is(p, t) for p in policies.items.values())]
            text = ", ".join([*(f"{node} {state}" for node, state in states.items()), *(told or ["no result yet"])])
            return Seen(text, bool(told) and all(state in ENDED for state in states.values()))

        wait_until(f"policy {name}", "at an end on every node", observe, deadline=deadline, changes=signal)


def judge(enactments: Iterable[Obj], name: str, generation: int, nodes: Sequence[str]) -> Seen[None]:
    """What the enactments of a policy say together; pure."""
    by_node = {str(e["metadata"]["name"]).removesuffix(f".{name}"): e for e in enactments}
    states = {node: enactment_state(by_node.get(node), generation) for node in nodes}
    reasons = [f"on {node}: {reason}" for node in nodes if (reason := hopeless(by_node.get(node), generation))]
    return Seen(
        ", ".join(f"{node} {state}" for node, state in states.items()),
        met=all(state == "Available" for state in states.values()),
        hopeless="; ".join(reasons),
    )


def enactment_state(enactment: Obj | None, generation: int) -> str:
    """One word for an enactment: ``none``, ``stale``, or the condition that is true."""
    if enactment is None:
        return "none"
    if int((enactment.get("status") or {}).get("policyGeneration") or 0) != generation:
        return "stale"
    true = [t for t in ("Available", "Failing", "Aborted", "Progressing", "Pending") if _is(enactment, t)]
    if true[:1] == ["Failing"] and "Progressing" in true:
        return "Retrying"
    return true[0] if true else "unknown"


def hopeless(enactment: Obj | None, generation: int) -> str:
    """Why an enactment cannot become Available any more; empty while it can."""
    state = enactment_state(enactment, generation)
    if state not in {"Failing", "Aborted"} or _is(enactment, "Progressing"):
        return ""
    found = condition(enactment, state)
    return f"{found.get('reason', state)}: {found.get('message', '')}"


def _is(enactment: Obj | None, kind: str) -> bool:
    return bool(condition(enactment, kind).get("status") == "True")


def enactments_of(client: Client, name: str, nodes: Sequence[str]) -> dict[str, str]:
    """Node -> state of its enactment of the policy's present generation, read now. Raises NotFound."""
    generation = int(client.get(NNCP, name)["metadata"].get("generation") or 1)
    found = {str(e["metadata"]["name"]): e for e in client.list(NNCE, labels=f"{POLICY_LABEL}={name}")}
    return {node: enactment_state(found.get(f"{node}.{name}"), generation) for node in nodes}


def take_back(client: Client, policy: Obj, *, deadline: Deadline | None = None) -> None:
    """Undo a policy: apply its inverse with what it took given back, wait for the nodes, delete it and see it gone.

    The policy as the server has it counts: its annotation says what nodes had before. Does nothing when it is gone, or
    when it is another run's by now.
    """
    name = str(policy["metadata"]["name"])
    found = client.find(NNCP, name)
    if found is None or _run(found) != _run(policy):
        return
    deadline = deadline or Deadline.after(POLICY_S)
    hostnames = {
        str(n["metadata"]["name"]): str((n["metadata"].get("labels") or {}).get(HOSTNAME, n["metadata"]["name"]))
        for n in client.list(NODE)
    }
    inverses = restore.inverses(found | {"apiVersion": NNCP.api_version, "kind": NNCP.kind}, hostnames)
    for inverse in inverses:
        apply(client, inverse, deadline=deadline, blame="environment")
    for each in dict.fromkeys([name, *(str(i["metadata"]["name"]) for i in inverses)]):
        client.delete(NNCP, each, wait=deadline)


def _run(policy: Obj) -> str:
    return str((policy["metadata"].get("labels") or {}).get(RUN_LABEL, ""))


def raw_states(client: Client, nodes: Sequence[str]) -> dict[str, Obj]:
    """``currentState`` of the nodes' NodeNetworkStates, as nmstate reports it."""
    found = {str(s["metadata"]["name"]): (s.get("status") or {}).get("currentState") or {} for s in client.list(NNS)}
    return {node: found[node] for node in nodes if node in found}


def node_states(client: Client, nodes: Sequence[str] = ()) -> list[NodeState]:
    """The reported state of the nodes (all, when none is named), sorted by node."""
    states = [read_state(obj) for obj in client.list(NNS)]
    return sorted((s for s in states if not nodes or s.node in nodes), key=lambda s: s.node)
