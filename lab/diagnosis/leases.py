"""Judging addresses by DHCP: that a guest got one, and that it and the MAC address outlived what was done to the VM."""

from __future__ import annotations

from lab.core.deadline import Deadline
from lab.core.errors import LabError, ProductFailure, WaitTimeout
from lab.diagnosis import ends
from lab.diagnosis.gather import explain
from lab.topology import leases
from lab.topology.scene import Scene

NO_SERVER = "its DHCP server is silent, or VM {vm} did not ask it"


def leased(scene: Scene, name: str) -> None:
    """Raises ProductFailure naming VM, worker, network and cause when no address comes."""
    try:
        guest = leases.wait(scene, name)
    except WaitTimeout as error:
        guest = scene.guest(name)
        raise ProductFailure(
            f"{guest} to have {error.wanted}", f"{guest}: {error.last}; {_cause(scene, name)}"
        ) from error
    scene.site.say([f"{guest} has {', '.join(guest.addresses)}"])


def _cause(scene: Scene, name: str) -> str:
    guest = scene.guest(name)
    try:
        if said := ends.of_guest(guest, guest.segment, ends.look(guest.shell), unleased=True):
            return said
        return explain(scene.site, guest.segment, (guest.node,), NO_SERVER.format(vm=guest.name))
    except LabError as error:
        return f"the cause could not be looked for ({error.headline})"


def kept(scene: Scene, name: str) -> None:
    """Raises ProductFailure when the guest has other addresses than its lease, or another MAC address is reported."""
    guest = scene.guest(name)
    assert guest.shell is not None
    now, mac = leases.addresses(guest.shell, guest.segment), scene.state(name).mac()
    if not guest.addresses or set(now) != set(guest.addresses):
        raise ProductFailure(
            f"{guest} with the address {', '.join(guest.addresses) or '(it had none)'}", ", ".join(now) or "it has none"
        )
    if mac != guest.mac:
        raise ProductFailure(f"{guest} with the MAC address {guest.mac}", f"it is reported with {mac!r}")


def off_the_pod_network(scene: Scene, name: str) -> None:
    """Raises ProductFailure when a VM has an interface on the pod network, or its console does not answer."""
    guest = scene.guest(name)
    pods = [n["name"] for n in scene.vmi(name)["spec"].get("networks") or [] if "pod" in n]
    if pods:
        raise ProductFailure(f"{guest} with no interface on the pod network", f"it has {', '.join(pods)}")
    assert guest.shell is not None
    answer = guest.shell.run(["echo", "here"], deadline=Deadline.after(leases.ASK_S))
    if answer.stdout.strip() != "here":
        raise ProductFailure(f"an answer on the console of {guest}", str(answer))
