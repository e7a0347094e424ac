"""Which scenarios go to a worker together, and what may run beside what. Pure; it starts nothing and asks nobody.

The scenarios of one feature are a group, since they share its node policies. On a cluster that workers share, one
group at a time has the nodes' networks and VLANs, and one that disturbs the cluster has it alone. On labs of their own
workers are alone already. Whatever cannot be told is taken for the stricter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from lab.evidence.record import ScenarioRecord

DISTURBING = frozenset({"disruptive", "needs:disruptive", "needs:drain", "needs:faults"})
"""Tags of scenarios that others would feel: a node's own network, evictions, broken parts."""
NETWORKS = ("nncp-*.yaml", "nad-*.yaml")
"""Manifests of node policies and of attachments to networks whose addresses are the target's."""
BY_HAND = "nmcli"


class Kind(IntEnum):
    """What a group needs of a shared cluster."""

    BESIDE = 0
    """Namespaces of its own and the pod network."""
    NETWORKS = 1
    """The nodes' networks, and addresses on the target's VLANs: one group at a time."""
    ALONE = 2
    """The cluster."""


@dataclass(frozen=True)
class Group:
    """`number` from 1 on, in the order of the run; `steps` say roughly how long it takes."""

    number: int
    feature: str
    nodes: tuple[str, ...]
    """The node ids of its scenarios (pytest's, not the cluster's)."""
    kind: Kind
    steps: int


def groups(scenarios: Iterable[tuple[Path, ScenarioRecord]], *, faults: bool) -> list[Group]:
    """One for each test module, in order; with *faults* that the run makes in each, all of them disturb."""
    of: dict[Path, list[ScenarioRecord]] = {}
    for path, scenario in scenarios:
        of.setdefault(path, []).append(scenario)
    return [
        Group(
            number,
            found[0].feature,
            tuple(s.node_id for s in found),
            Kind.ALONE if faults else kind_of(path.parent / "manifests", found),
            sum(len(s.steps) for s in found),
        )
        for number, (path, found) in enumerate(of.items(), 1)
    ]


def kind_of(manifests: Path, scenarios: Sequence[ScenarioRecord]) -> Kind:
    """Of the scenarios of one feature whose manifests are in that folder."""
    if any(DISTURBING & set(s.tags) for s in scenarios):
        return Kind.ALONE
    by_hand = any(BY_HAND in step.name for s in scenarios for step in s.steps)
    made = any(next(manifests.glob(pattern), None) for pattern in NETWORKS)
    return Kind.NETWORKS if made or by_hand else Kind.BESIDE


def choose(waiting: Sequence[Group], running: Sequence[Group], *, shared: bool) -> Group | None:
    """The one to begin now; None when all must wait for one that runs.

    The longest first, so that none is left over at the end. On a *shared* cluster what needs it alone comes last.
    """
    allowed = [g for g in waiting if not shared or _fits(g, running)]
    if shared and (early := [g for g in waiting if g.kind < Kind.ALONE]):
        allowed = [g for g in allowed if g in early]
        return max(allowed, key=lambda g: (g.kind, g.steps, -g.number), default=None)
    return max(allowed, key=lambda g: (g.steps, -g.number), default=None)


def _fits(group: Group, running: Sequence[Group]) -> bool:
    kinds = {g.kind for g in running}
    if Kind.ALONE in kinds or (group.kind is Kind.ALONE and running):
        return False
    return not (group.kind is Kind.NETWORKS and Kind.NETWORKS in kinds)
