"""What a scenario does to a guest's place: moving it, several at once, cancelling that, draining its worker; limits.

Everything made on the cluster is registered for undoing first. What comes of it is for others to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from lab.access.client import Client
from lab.access.kinds import MIGRATION_POLICY, NODE
from lab.core.deadline import Deadline
from lab.core.errors import LabError, OperatorMissing
from lab.core.names import ownership
from lab.guest import busy
from lab.kubevirt import interrupt, jobinfo
from lab.kubevirt.migration import Migration
from lab.kubevirt.migrationpolicy import policy
from lab.kubevirt.timeline import Timeline, merged
from lab.topology.scene import CHECK_S, MIGRATE_S, Scene


@dataclass(frozen=True)
class Together:
    """Migrations asked for at the same time; `seconds` is the longest."""

    moves: tuple[Migration, ...]

    @property
    def name(self) -> str:
        return " and ".join(move.name for move in self.moves)

    @property
    def seconds(self) -> float:
        return max(move.seconds for move in self.moves)

    @property
    def timeline(self) -> Timeline:
        return merged(move.timeline for move in self.moves)


def limit(scene: Scene, settings: dict[str, object]) -> None:
    """How migrations of this scenario's guests are made: fields of a MigrationPolicy. Raises OperatorMissing."""
    client = scene.site.client
    if not client.serves(MIGRATION_POLICY):
        raise OperatorMissing("the kind MigrationPolicy", "this cluster has none", client.server, "KubeVirt >= 0.50")
    name = scene.namespace
    scene.site.undo.push(f"migration policy {name}", lambda d: client.delete(MIGRATION_POLICY, name, wait=d))
    client.apply(policy(name, settings, ownership(scene.site.run_id)))


def together(scene: Scene, names: Sequence[str]) -> Together:
    """Migrate several VMs at the same time, wherever the scheduler wants. Raises as Scene.migrate, of the first."""
    for name in names:
        scene.guest(name)
    scene.settle()
    with ThreadPoolExecutor(len(names)) as pool:
        moves = [pool.submit(scene.migrate, name) for name in names]
    return Together(tuple(move.result() for move in moves))


def move(scene: Scene, name: str) -> Migration:
    """Migrate a VM wherever the scheduler wants, and read what QEMU counted while its launcher is there: after some
    more migrations it is gone. Raises as Scene.migrate."""
    done = scene.migrate(name)
    with suppress(LabError):
        return replace(done, job=job(scene, name, done))
    return done


def job(scene: Scene, name: str, done: Migration) -> jobinfo.JobInfo:
    """What QEMU counted while it sent a VM. Raises as jobinfo.read."""
    pod, uid = str(done.state.get("sourcePod")), str(done.state.get("migrationUid"))
    return done.job or jobinfo.read(scene.site.client, scene.guest(name).namespace, pod, uid)


def keep_busy(scene: Scene, name: str, mib: int) -> str:
    """Let a VM write to so much of its memory, all the time; the folder of it. Raises as busy.start."""
    shell = scene.guest(name).shell
    assert shell is not None
    return busy.start(shell, mib, deadline=Deadline.after(CHECK_S))


def written(scene: Scene, name: str, folder: str) -> busy.Written:
    """What a busy VM reads of what it writes. Raises as busy.look."""
    shell = scene.guest(name).shell
    assert shell is not None
    return busy.look(shell, folder, deadline=Deadline.after(CHECK_S))


def cancel(scene: Scene, name: str) -> interrupt.Cancelled:
    """Begin a migration and cancel it in the middle. Raises as interrupt.cancel."""
    guest = scene.guest(name)
    scene.settle()
    labels = ownership(scene.site.run_id)
    return interrupt.cancel(scene.site.client, guest.namespace, name, labels=labels, deadline=Deadline.after(MIGRATE_S))


def drain(scene: Scene, name: str) -> Migration:
    """Cordon a VM's worker and evict the VM from it, as `kubectl drain` does with all that is there.

    Nobody else's pods are touched, and the worker takes pods again afterwards. Raises as interrupt.evict."""
    guest, client = scene.guest(name), scene.site.client
    scene.settle()
    node = guest.node
    # Registered first, and harmless when it comes to nothing: only a cordon of a run is taken back.
    scene.site.undo.push(f"cordon of {node}", lambda _: _uncordon(client, node))
    interrupt.cordon(client, node, scene.site.run_id)
    try:
        done = interrupt.evict(client, guest.namespace, name, deadline=Deadline.after(MIGRATE_S))
    finally:
        _uncordon(client, node)
    scene.moved(name, done)
    return done


def _uncordon(client: Client, node: str) -> None:
    if interrupt.cordoned_by(client.get(NODE, node)):
        interrupt.uncordon(client, node)
