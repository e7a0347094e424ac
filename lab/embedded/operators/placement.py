"""Where a pod may run: kube-scheduler's filters and scores as pure functions over nodes and pods.

Filters run in upstream's order and the first that refuses a node names the reason (kube-scheduler, framework/plugins).
Nothing here talks to the API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.embedded.operators import quantity
from lab.embedded.operators.objects import (
    Obj,
    deleting,
    dig,
    expression_matches,
    has_condition,
    labels_of,
    matches,
    name_of,
    namespace_of,
    phase_of,
)

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
# A node that does not name one of these has as much as anybody asks for.
UNLIMITED_WHEN_ABSENT = ("cpu", "memory", "ephemeral-storage", "pods")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class World:
    """What a decision depends on: nodes, the live pods bound to each, and the namespaces' labels."""

    nodes: Sequence[Obj]
    pods: Mapping[str, Sequence[Obj]]
    namespaces: Mapping[str, Mapping[str, str]]

    @staticmethod
    def of(nodes: Iterable[Obj], pods: Iterable[Obj], namespaces: Iterable[Obj] = ()) -> World:
        """Finished pods do not count: a Completed launcher keeps nobody away."""
        bound: dict[str, list[Obj]] = {}
        for pod in pods:
            node = dig(pod, "spec", "nodeName")
            if node and phase_of(pod) not in ("Succeeded", "Failed"):
                bound.setdefault(node, []).append(pod)
        ordered = sorted(nodes, key=name_of)
        return World(ordered, bound, {name_of(entry): labels_of(entry) for entry in namespaces})

    def on(self, node: Obj) -> Sequence[Obj]:
        return self.pods.get(name_of(node), ())


@dataclass(frozen=True)
class Decision:
    """Either a node's name, or why there is none (the text of the PodScheduled condition)."""

    node: str = ""
    message: str = ""


def decide(pod: Obj, world: World) -> Decision:
    """The node for a pod: highest preference, then fewest pods, then name."""
    if not world.nodes:
        return Decision(message="no nodes available to schedule pods")
    refusals: Counter[str] = Counter()
    fitting: list[Obj] = []
    for node in world.nodes:
        reasons = next((found for check in FILTERS if (found := check(pod, node, world))), [])
        refusals.update(reasons)
        if not reasons:
            fitting.append(node)
    if not fitting:
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in refusals.items()))
        return Decision(message=f"0/{len(world.nodes)} nodes are available: {listed}.")
    best = min(fitting, key=lambda node: (-_score(pod, node, world), len(world.on(node)), name_of(node)))
    return Decision(node=name_of(best))


def untolerated(pod: Obj, taints: Iterable[Obj]) -> Obj | None:
    """The first NoSchedule or NoExecute taint that the pod does not tolerate."""
    tolerations = dig(pod, "spec", "tolerations", default=[])
    for taint in taints:
        if taint.get("effect") not in ("NoSchedule", "NoExecute"):
            continue
        if not any(_tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _schedulable(pod: Obj, node: Obj, _world: World) -> list[str]:
    return ["node(s) were unschedulable"] if dig(node, "spec", "unschedulable", default=False) else []


def _tainted(pod: Obj, node: Obj, _world: World) -> list[str]:
    taints = dig(node, "spec", "taints", default=[])
    if not has_condition(node, "Ready"):
        # The taint itself may be on its way still.
        silent = has_condition(node, "Ready", "Unknown")
        taints = [*taints, {"key": UNREACHABLE if silent else NOT_READY, "effect": "NoSchedule"}]
    taint = untolerated(pod, taints)
    if taint is None:
        return []
    return [f"node(s) had untolerated taint {{{taint.get('key', '')}: {taint.get('value') or ''}}}"]


def _selected(pod: Obj, node: Obj, _world: World) -> list[str]:
    labels = labels_of(node)
    selector = dig(pod, "spec", "nodeSelector", default={})
    required = dig(pod, "spec", "affinity", "nodeAffinity", REQUIRED)
    fits = all(labels.get(key) == value for key, value in selector.items())
    if fits and required is not None:
        fits = any(node_term_matches(term, node) for term in required.get("nodeSelectorTerms") or [])
    return [] if fits else ["node(s) didn't match Pod's node affinity/selector"]


def node_term_matches(term: Obj, node: Obj) -> bool:
    """A nodeSelectorTerm: all its expressions and fields; an empty one matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    values = {"metadata.name": name_of(node)}
    return all(expression_matches(entry, labels_of(node)) for entry in expressions) and all(
        expression_matches(entry, values) for entry in fields
    )


def requests_of(pod: Obj) -> dict[str, float]:
    """Summed requests of a pod's containers; a limit without a request counts as one, as the API's defaulting does."""
    total: dict[str, float] = {"pods": 1.0}
    for container in dig(pod, "spec", "containers", default=[]):
        resources = container.get("resources") or {}
        for name, value in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            total[name] = total.get(name, 0.0) + quantity.parse(value)
    return total


def _resources(pod: Obj, node: Obj, world: World) -> list[str]:
    free: Mapping[str, str] = dig(node, "status", "allocatable") or dig(node, "status", "capacity", default={})
    used: Counter[str] = Counter()
    for other in world.on(node):
        used.update(requests_of(other))
    short = []
    for resource, wanted in requests_of(pod).items():
        if resource in UNLIMITED_WHEN_ABSENT and resource not in free:
            continue
        # Tenths of a millionth: sums of parsed milli-units are not exact.
        if wanted > 0 and used[resource] + wanted > quantity.parse(free.get(resource, "0")) + 1e-7:
            short.append("Too many pods" if resource == "pods" else f"Insufficient {resource}")
    return short


def _pod_affinity(pod: Obj, node: Obj, world: World) -> list[str]:
    affinity = dig(pod, "spec", "affinity", default={})
    for term in dig(affinity, "podAffinity", REQUIRED, default=[]):
        if not _near(pod, term, node, world) and not _first_of_its_kind(pod, term, node, world):
            return ["node(s) didn't match pod affinity rules"]
    for term in dig(affinity, "podAntiAffinity", REQUIRED, default=[]):
        if _near(pod, term, node, world):
            return ["node(s) didn't match pod anti-affinity rules"]
    for other_node in world.nodes:
        for other in world.on(other_node):
            for term in dig(other, "spec", "affinity", "podAntiAffinity", REQUIRED, default=[]):
                if _same_domain(term, node, other_node) and _term_selects(other, term, pod, world):
                    return ["node(s) didn't satisfy existing pods anti-affinity rules"]
    return []


def _near(pod: Obj, term: Obj, node: Obj, world: World) -> bool:
    """Some live pod that the term selects is in the node's topology domain."""
    return any(
        _term_selects(pod, term, other, world)
        for other_node in world.nodes
        if _same_domain(term, node, other_node)
        for other in world.on(other_node)
    )


def _first_of_its_kind(pod: Obj, term: Obj, node: Obj, world: World) -> bool:
    """A pod whose affinity only itself can satisfy may start anywhere that has the topology key."""
    if term.get("topologyKey") not in labels_of(node) or not _term_selects(pod, term, pod, world):
        return False
    return not any(_term_selects(pod, term, other, world) for entry in world.nodes for other in world.on(entry))


def _same_domain(term: Obj, left: Obj, right: Obj) -> bool:
    key = str(term.get("topologyKey", ""))
    return key in labels_of(left) and labels_of(left).get(key) == labels_of(right).get(key)


def _term_selects(owner: Obj, term: Obj, other: Obj, world: World) -> bool:
    """Whether a pod (anti-)affinity term of `owner` selects `other`."""
    selector = term.get("namespaceSelector")
    names = term.get("namespaces") or ([] if selector is not None else [namespace_of(owner)])
    namespace = namespace_of(other)
    in_scope = namespace in names or (selector is not None and matches(selector, world.namespaces.get(namespace, {})))
    return in_scope and matches(term.get("labelSelector"), labels_of(other))


def _score(pod: Obj, node: Obj, world: World) -> int:
    affinity = dig(pod, "spec", "affinity", default={})
    score = 0
    for entry in dig(affinity, "nodeAffinity", PREFERRED, default=[]):
        if node_term_matches(entry.get("preference") or {}, node):
            score += int(entry.get("weight") or 1)
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for entry in dig(affinity, kind, PREFERRED, default=[]):
            if _near(pod, entry.get("podAffinityTerm") or {}, node, world):
                score += sign * int(entry.get("weight") or 1)
    for taint in dig(node, "spec", "taints", default=[]):
        soft = taint.get("effect") == "PreferNoSchedule"
        if soft and not any(_tolerates(entry, taint) for entry in dig(pod, "spec", "tolerations", default=[])):
            score -= 1
    return score


FILTERS: tuple[Callable[[Obj, Obj, World], list[str]], ...] = (
    _schedulable,
    _tainted,
    _selected,
    _resources,
    _pod_affinity,
)


def wants_scheduling(pod: Obj) -> bool:
    """A pod that this scheduler must place."""
    mine = dig(pod, "spec", "schedulerName", default="default-scheduler") in ("", "default-scheduler")
    unbound = not dig(pod, "spec", "nodeName") and not deleting(pod)
    return mine and unbound and phase_of(pod) not in ("Succeeded", "Failed")
