"""What a scenario does to a guest's place: moving it, cancelling that, draining its worker, limits for all of these.

Everything made on the cluster is registered for undoing first. What comes of it is for others to judge.
"""

from __future__ import annotations

from lab.access.client import Client
from lab.access.kinds import MIGRATION_POLICY, NODE
from lab.core.deadline import Deadline
from lab.core.errors import OperatorMissing
from lab.core.names import ownership
from lab.kubevirt import interrupt
from lab.kubevirt.migration import Migration
from lab.kubevirt.migrationpolicy import policy
from lab.topology.scene import MIGRATE_S, Scene


def limit(scene: Scene, settings: dict[str, object]) -> None:
    """How migrations of this scenario's guests are made: fields of a MigrationPolicy. Raises OperatorMissing."""
    client = scene.site.client
    if not client.serves(MIGRATION_POLICY):
        raise OperatorMissing("the kind MigrationPolicy", "this cluster has none", client.server, "KubeVirt >= 0.50")
    name = scene.namespace
    scene.site.undo.push(f"migration policy {name}", lambda d: client.delete(MIGRATION_POLICY, name, wait=d))
    client.apply(policy(name, settings, ownership(scene.site.run_id)))


def cancel(scene: Scene, name: str) -> interrupt.Cancelled:
    """Begin a migration and cancel it in the middle. Raises as interrupt.cancel."""
    guest = scene.guest(name)
    scene.site.settle()
    labels = ownership(scene.site.run_id)
    return interrupt.cancel(scene.site.client, guest.namespace, name, labels=labels, deadline=Deadline.after(MIGRATE_S))


def drain(scene: Scene, name: str) -> Migration:
    """Cordon a VM's worker and evict the VM from it, as `kubectl drain` does with all that is there.

    Nobody else's pods are touched, and the worker takes pods again afterwards. Raises as interrupt.evict."""
    guest, client = scene.guest(name), scene.site.client
    scene.site.settle()
    node = guest.node
    # Registered first, and harmless when it comes to nothing: only a cordon of a run is taken back.
    scene.site.undo.push(f"cordon of {node}", lambda _: _uncordon(client, node))
    interrupt.cordon(client, node, scene.site.run_id)
    try:
        done = interrupt.evict(client, guest.namespace, name, deadline=Deadline.after(MIGRATE_S))
    finally:
        _uncordon(client, node)
    guest.visited.append(done.target)
    return done


def _uncordon(client: Client, node: str) -> None:
    if interrupt.cordoned_by(client.get(NODE, node)):
        interrupt.uncordon(client, node)
