"""Removing what runs left behind, by the mark they put on everything: policies are taken back, the rest deleted."""

from __future__ import annotations

from lab.access.client import Client
from lab.access.kinds import NAMESPACE, NNCP, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.names import RUN_LABEL, selector
from lab.nmstate.policy import take_back

NAMESPACES_S = 120.0
POLICIES_S = 300.0


def leftovers(client: Client, run_id: str = "") -> tuple[list[Obj], list[Obj]]:
    """(namespaces, node policies) of one run, or of any."""
    labels = selector(run_id)
    policies = client.list(NNCP, labels=labels) if client.serves(NNCP) else []
    return client.list(NAMESPACE, labels=labels), policies


def clean(client: Client, run_id: str = "", *, policies: bool = True) -> list[str]:
    """Remove what a run (or any) left; returns what was removed. Raises WaitTimeout naming what holds on."""
    namespaces, found = leftovers(client, run_id)
    gone = []
    for namespace in namespaces:
        trace.note(f"namespace {namespace['metadata']['name']}", f"left by run {_owner(namespace)}; removed")
        client.delete(NAMESPACE, namespace["metadata"]["name"])
    deadline = Deadline.after(NAMESPACES_S)
    for namespace in namespaces:
        client.delete(NAMESPACE, namespace["metadata"]["name"], wait=deadline)
        gone.append(f"namespace {namespace['metadata']['name']}")
    for policy in found if policies else []:
        trace.note(f"policy {policy['metadata']['name']}", f"left by run {_owner(policy)}; taken back")
        take_back(client, policy, deadline=Deadline.after(POLICIES_S))
        gone.append(f"node policy {policy['metadata']['name']}")
    return gone


def _owner(obj: Obj) -> str:
    return str((obj["metadata"].get("labels") or {}).get(RUN_LABEL, "?"))
