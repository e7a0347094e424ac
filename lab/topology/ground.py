"""Ground of a feature's own: a namespace for its pods, made when the first of them is, gone with the site.

It says nothing about the pods themselves: see residents.py for those in a segment, podnet.py for those in a zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.kinds import NAMESPACE, Obj
from lab.core.names import dns_label, owned
from lab.core.undo import UndoStack
from lab.target.inventory import Target

PRIVILEGED = {
    **{f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")},
    "security.openshift.io/scc.podSecurityLabelSync": "false",
}
"""Residents give their own interface an address, which needs NET_ADMIN; launchers have no seccomp profile, so KubeVirt
asks for such namespaces, too. OpenShift would take that level back."""


@dataclass(frozen=True)
class Ground:
    """Whose pods they are, and where they go."""

    client: Client
    target: Target
    run_id: str
    workers: tuple[str, ...]
    undo: UndoStack
    name: str

    @classmethod
    def of(
        cls, client: Client, target: Target, run_id: str, workers: Sequence[str], undo: UndoStack, *name: str
    ) -> Ground:
        """The ground of a feature, named after the run and it; nothing is made yet."""
        return cls(client, target, run_id, tuple(workers), undo, dns_label("-".join(("virtlab", run_id, *name))))

    def prepare(self) -> None:
        """Make the namespace; its end is registered before."""
        self.undo.push(f"namespace {self.name}", lambda d: self.client.delete(NAMESPACE, self.name, wait=d))
        self.client.create(namespace(self.name, self.run_id))


def namespace(name: str, run_id: str) -> Obj:
    """A namespace of this run, whose pods are taken whatever the cluster wants of namespaces that say nothing."""
    meta = {"name": name, "labels": dict(PRIVILEGED)}
    return owned({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}, run_id)
