"""Removing what runs left behind, by the marks they put on everything: nodes are given back, the rest is deleted.

Nothing but the cluster is asked, so that it works after a run was killed at any point, from any machine. What is not
marked is left alone. One thing that cannot be removed does not keep the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import MIGRATION_POLICY, NAMESPACE, NNCP, NODE, POD, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, LabError
from lab.core.names import RUN_LABEL, covers, selector
from lab.faults.port import FaultPort
from lab.kubevirt import interrupt
from lab.netmanager import debugpod, switchover
from lab.nmstate.policy import take_back

NAMESPACES_S = 240.0
"""A VM whose guest does not hear the power button is given the three minutes of grace that KubeVirt gives it."""
POLICIES_S = 300.0
NODE_S = 150.0
NOTHING = "nothing to heal"


@dataclass(frozen=True)
class Leftovers:
    """What is there of one run, or of any; policies newest first, since later ones may stand on earlier ones."""

    cordoned: tuple[Obj, ...] = ()
    shells: tuple[Obj, ...] = ()
    """Debug pods, through which a node's own network may have been changed by hand."""
    namespaces: tuple[Obj, ...] = ()
    migration_policies: tuple[Obj, ...] = ()
    policies: tuple[Obj, ...] = ()

    @property
    def words(self) -> list[str]:
        """Each thing in a line, with the run that made it."""
        named = (
            ("cordon of", self.cordoned),
            ("namespace", self.namespaces),
            ("migration policy", self.migration_policies),
            ("node policy", self.policies),
        )
        return [f"{kind} {_name(obj)} (run {_owner(obj)})" for kind, found in named for obj in found]


def leftovers(client: Client, run_id: str = "") -> Leftovers:
    """What runs left; of one run, or of any. Reading only."""
    labels = selector(run_id)
    policies = client.list(NNCP, labels=labels) if client.serves(NNCP) else []
    migrations = client.list(MIGRATION_POLICY, labels=labels) if client.serves(MIGRATION_POLICY) else []
    return Leftovers(
        cordoned=tuple(n for n in client.list(NODE) if (by := interrupt.cordoned_by(n)) and covers(run_id, by)),
        shells=tuple(client.list(POD, labels=f"{labels},{debugpod.LABEL}")),
        namespaces=tuple(client.list(NAMESPACE, labels=labels)),
        migration_policies=tuple(migrations),
        policies=tuple(sorted(policies, key=_created, reverse=True)),
    )


def clean(client: Client, run_id: str = "", faults: FaultPort | None = None) -> list[str]:
    """Remove what a run (or any) left, and wait until it is gone; returns what was removed.

    With *faults* those that are set are healed first: they carry no mark, and a policy may not be taken back over them.

    Raises EnvironmentBroken naming each thing that stays and why.
    """
    found = leftovers(client, run_id)
    gone: list[str] = []
    stays: list[str] = []
    if faults is not None:
        _heal(faults, gone, stays)

    def each(what: str, objects: Iterable[Obj], act: Callable[[Obj], object]) -> None:
        for obj in objects:
            trace.note(f"{what} {_name(obj)}", f"left by run {_owner(obj)}; taken back")
            try:
                if act(obj) is not False:
                    gone.append(f"{what} {_name(obj)}")
            except LabError as error:
                stays.append(f"{what} {_name(obj)}: {error.headline}")

    each("cordon of", found.cordoned, lambda node: interrupt.uncordon(client, _name(node)))
    each("network made by hand, by way of pod", _one_each(found.shells), lambda pod: _by_hand(client, pod))
    for namespace in found.namespaces:
        client.delete(NAMESPACE, _name(namespace))
    deadline = Deadline.after(NAMESPACES_S)
    each("namespace", found.namespaces, lambda obj: client.delete(NAMESPACE, _name(obj), wait=deadline))
    each("migration policy", found.migration_policies, lambda obj: client.delete(MIGRATION_POLICY, _name(obj)))
    each("node policy", found.policies, lambda obj: take_back(client, obj, deadline=Deadline.after(POLICIES_S)))
    if stays:
        raise EnvironmentBroken(
            "everything that runs left removed",
            "; ".join(stays) + (f"; removed: {', '.join(gone)}" if gone else ""),
            client.server,
            "look at these, then virtlab clean again",
        )
    return gone


def _heal(faults: FaultPort, gone: list[str], stays: list[str]) -> None:
    try:
        if said := _healed(faults):
            gone.append(f"faults ({said})")
    except LabError as error:
        stays.append(f"faults: {error.headline}")


def _healed(faults: FaultPort) -> str:
    """What the target's command says that it healed; empty when nothing was set."""
    lines = [line for line in faults.heal().stdout.splitlines() if line.strip()]
    return "" if lines == [NOTHING] else "; ".join(lines)


def _one_each(shells: Iterable[Obj]) -> list[Obj]:
    """One debug pod for each node, one that runs if there is any; without one that never did."""
    began = [pod for pod in shells if debugpod.phase(pod) not in ("", "Pending")]
    began.sort(key=lambda pod: debugpod.phase(pod) == "Running")
    return list({pod["spec"]["nodeName"]: pod for pod in began}.values())


def _by_hand(client: Client, pod: Obj) -> bool:
    """Have the node of a debug pod go back to its own network; False when nothing of it was changed."""
    shell, deadline = debugpod.NodeShell(client, pod), Deadline.after(NODE_S)
    shell.revive(deadline)
    return switchover.abandoned(shell, shell.node, deadline)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _created(obj: Obj) -> str:
    return str(obj["metadata"].get("creationTimestamp", ""))


def _owner(obj: Obj) -> str:
    return str((obj["metadata"].get("labels") or {}).get(RUN_LABEL) or interrupt.cordoned_by(obj) or "?")
