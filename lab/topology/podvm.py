"""What a scenario does with a VM on the pod network: start it, let every zone connect to it, let it look around itself.

As in `scene`, observations are handed back as they are.
"""

from __future__ import annotations

from contextlib import suppress

from lab.access.errors import Rejected
from lab.access.kinds import VMI, Obj, condition
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import ProductFailure, UsageError, WaitTimeout
from lab.core.names import ownership
from lab.core.wait import Periodic, Seen, wait_until
from lab.kubevirt import migration, vm
from lab.probes.connections import ConnectionsObservation
from lab.probes.observation import retry_inconclusive
from lab.probes.ping import ping
from lab.topology.podnet import LOOK_S, POD_NETWORK, forget_neighbours, launcher
from lab.topology.scene import START_S, Check, GuestVm, Scene

PINGS, INTERVAL_S = 5, 0.2
ADDRESS_S = 30.0


def start(scene: Scene, name: str) -> GuestVm:
    """Ask for the VM of manifest *name*, whose only NIC is on the pod network; does not wait."""
    return scene.start_as_is(name, POD_NETWORK)


def _ready(scene: Scene, name: str) -> GuestVm:
    """The VM, with somebody logged in and its address known. Raises ProductFailure when the address changed."""
    guest = scene.guest(name)
    if not guest.addresses:
        _wait_for_address(guest)
    scene.settle()
    found = launcher(scene.site.client, guest.namespace, guest.name)
    if guest.addresses and guest.addresses != (found.address,):
        raise ProductFailure(
            f"{guest} with its pod address {guest.address}", f"pod {found.pod} has {found.address}", guest.namespace
        )
    guest.addresses, guest.mac = (found.address,), found.mac
    return guest


def _wait_for_address(guest: GuestVm) -> None:
    """A login prompt may come before the guest's own DHCP is done; one that gets none is for the check to judge."""
    shell = guest.shell
    assert shell is not None

    def observe() -> Seen[bool]:
        said = shell.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], deadline=Deadline.after(LOOK_S)).stdout
        return Seen(said.strip() or "none", "inet " in said, True)

    with suppress(WaitTimeout):
        wait_until(
            str(guest),
            "an address in the guest",
            observe,
            deadline=Deadline.after(ADDRESS_S),
            changes=Periodic(0.5, "a guest does not announce its addresses"),
        )


def connect(scene: Scene, name: str) -> dict[str, ConnectionsObservation]:
    """By worker: what became of many connections to the VM's SSH port from the pod there."""
    guest = _ready(scene, name)
    assert guest.shell is not None
    forget_neighbours(guest.shell)
    seen = scene.site.pods.connect(guest.address)
    for look in seen.values():
        if look.neighbour == guest.mac and guest.node != guest.visited[0]:
            trace.note(
                look.source,
                f"{guest.address} still was at {guest.mac} for it, where {guest.name} is no more: it had to ask again",
            )
    return seen


def ping_pods(scene: Scene, name: str) -> list[Check]:
    """What the VM sees of the pod on each worker."""
    guest = _ready(scene, name)
    return [_ping(guest, f"the pod on {p.node} ({p.address})", p.address, p.node) for p in scene.site.pods.all()]


def ping_outside(scene: Scene, name: str, host: str) -> Check:
    """What the VM sees of an outside host. Raises UsageError when the target has no address of it."""
    target = scene.site.target
    addresses = [segment.gateway for segment in target.segments if segment.outside == host]
    if not addresses:
        have = ", ".join(sorted({s.outside for s in target.segments if s.outside})) or "none"
        raise UsageError(f"the address of the outside host {host!r}", f"hosts with one: {have}", str(target.source))
    guest = _ready(scene, name)
    return _ping(guest, f"the outside host {host} ({addresses[0]})", addresses[0], guest.node)


def _ping(guest: GuestVm, what: str, address: str, node: str) -> Check:
    shell, deadline = guest.shell, Deadline.after(LOOK_S)
    assert shell is not None
    seen = retry_inconclusive(
        lambda: ping(shell, address, count=PINGS, interval_s=INTERVAL_S, deadline=deadline), deadline
    )
    return Check(guest, what, POD_NETWORK, tuple(dict.fromkeys((guest.node, node))), seen)


def migratable(scene: Scene, name: str) -> tuple[bool, str]:
    """Whether the platform says that a running VM can be migrated, and what it says. Raises WaitTimeout."""
    guest, client = scene.guests[name], scene.site.client
    deadline = Deadline.after(START_S)
    vm.wait_running(client, guest.namespace, name, deadline=deadline)

    def seen(vmi: Obj | None) -> Seen[tuple[bool, str]]:
        found = condition(vmi, "LiveMigratable")
        text = f"LiveMigratable is {found.get('status', 'not said')}: {found.get('reason')}: {found.get('message')}"
        return Seen(text, bool(found), (found.get("status") == "True", text))

    said = client.wait_for(VMI, name, guest.namespace, "a word on whether it can be migrated", seen, deadline=deadline)
    assert said is not None
    return said


def refusal(scene: Scene, name: str) -> str:
    """What the API says to a migration of a VM; empty when it takes it."""
    guest, client = scene.guests[name], scene.site.client
    body = migration.request(guest.namespace, guest.name, ownership(scene.site.run_id), "")
    try:
        client.create(body, dry_run=True)
    except Rejected as error:
        return error.found
    return ""
