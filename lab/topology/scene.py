"""One scenario's own things on a cluster: a namespace, its networks, its VMs; and the checks between them.

VMs are asked for and not waited for, so that all of a scenario boot at the same time; the first use of one waits.
Checks are made from inside the guest over its serial console, since the network under test must not carry the verdict.
What is observed is handed back as it is; judging it is for others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lab.access.errors import Rejected
from lab.access.kinds import VMI, Obj
from lab.core import facts, trace
from lab.core.deadline import Deadline
from lab.core.errors import LabError, UsageError, WaitHopeless, WaitTimeout
from lab.core.names import ownership
from lab.core.result import CommandResult
from lab.guest.nic import change_mac
from lab.guest.reach import Kind, open_shell, ways
from lab.guest.shell import Shell
from lab.kubevirt import manifest, migration, vm
from lab.kubevirt.fate import Fate, fate
from lab.kubevirt.interfaces import VmiState
from lab.probes.observation import retry_inconclusive
from lab.probes.ping import PingObservation, ping, second_try
from lab.target.inventory import Segment
from lab.topology.claimants import asked
from lab.topology.faults import ScenarioFaults
from lab.topology.home import Home
from lab.topology.manifests import Manifests
from lab.topology.site import Site

START_S = 180.0
MIGRATE_S = 300.0
ENDED_S = 60.0
CHECK_S = 60.0
INTERVAL_S = 0.2
MAC = "02:76:6c:00:00:00"
"""For a VM whose manifest names none."""


@dataclass
class GuestVm:
    """One VM of a scenario. ``visited`` are its nodes in order, the present one last."""

    name: str
    namespace: str
    segment: Segment
    mac: str
    addresses: tuple[str, ...]
    """In its own segment first; empty while it gets one by DHCP."""
    visited: list[str] = field(default_factory=list)
    shell: Shell | None = None
    worn: str = ""
    """The MAC address that its NIC has now: its own, unless the guest changed it."""
    uid: str = ""
    """Of its VirtualMachineInstance, which outlives migrations and nothing else."""
    login: tuple[str, str] | None = None
    """User and password that its own cloud-init data makes; by default the target's."""
    left: float | None = None
    """When the last move was about to leave the worker before (harness' clock)."""

    def __post_init__(self) -> None:
        self.worn = self.worn or self.mac

    @property
    def node(self) -> str:
        """Where it is now; empty before it runs."""
        return self.visited[-1] if self.visited else ""

    @property
    def address(self) -> str:
        """Its address in its own segment; empty when that is not known (yet)."""
        return self.addresses[0] if self.addresses else ""

    def __str__(self) -> str:
        return f"VM {self.name} on {self.node or 'no worker yet'}"


@dataclass(frozen=True)
class Check:
    """A ping of a VM: ``what`` was pinged, in words, on which segment; ``nodes`` are the workers on its path."""

    guest: GuestVm
    what: str
    segment: Segment
    nodes: tuple[str, ...]
    seen: PingObservation
    macs: tuple[str, ...] = ()
    """Who answered by ARP for the address that was pinged, as the resident on the VM's worker heard it."""


class Scene:
    """The things of one scenario; made as they are asked for."""

    def __init__(self, site: Site, manifests: Manifests, title: str, *, disruptive: bool = False) -> None:
        self.site = site
        self.manifests = manifests
        self.home = Home(site, manifests, title)
        self.guests: dict[str, GuestVm] = {}
        self.outcomes: dict[str, LabError | None] = {}
        """Policy -> how its application ended, where a scenario wants it to fail."""
        self.faults = ScenarioFaults(site.target.faults, site.undo)
        self._disruptive = disruptive

    @property
    def namespace(self) -> str:
        """Where its things are."""
        return self.home.name

    def policy(self, name: str, *, checked: bool = True) -> None:
        """Make a documented policy the nodes' own, with residents in every VLAN that it maps. Raises as Site."""
        self.site.ensure_policy(self.manifests[f"nncp-{name}"], disruptive=self._disruptive, checked=checked)
        for segment in self.site.target.segments:
            self._witness(segment, nad_name(segment))

    def _witness(self, segment: Segment, nad: str) -> None:
        if f"nad-{nad}" in self.manifests and "resident" in self.manifests:
            self.site.witness(segment, self.manifests[f"nad-{nad}"], self.manifests["resident"])

    def attempt(self, name: str) -> LabError | None:
        """Apply a policy that need not succeed; the error that it ended with, if any, is kept in `outcomes`."""
        try:
            self.policy(name, checked=False)
        except (Rejected, WaitHopeless) as error:
            if isinstance(error, WaitHopeless):
                with suppress(WaitTimeout):
                    self.site.policies.wait_ended(name, Deadline.after(ENDED_S))
            self.outcomes[name] = error
            trace.note(f"policy {name}", error.headline)
        else:
            self.outcomes[name] = None
        return self.outcomes[name]

    def start(
        self,
        name: str,
        segment: Segment,
        *,
        nad: str = "",
        also: Segment | None = None,
        spread: str = "",
        login: tuple[str, str] | None = None,
    ) -> GuestVm:
        """Ask for the VM of manifest *name* on *segment*; does not wait.

        It is attached by the manifest ``nad-<nad>`` (by default the segment's), and has an address of *also* beside its
        own. A VM whose network data says ``dhcp4`` gets its address from the segment. With *login* (user, password) its
        user data is left as documented.
        """
        self.home.network(nad or nad_name(segment))
        self._witness(segment, nad or nad_name(segment))
        index = self.site.next_index(segment)
        document = self.manifests[name]
        addresses = [] if manifest.leases(document) else [segment.with_prefix(index)]
        if also is not None:
            addresses.append(also.with_prefix(self.site.next_index(also)))
        mac = f"{(manifest.mac_of(document) or MAC).rpartition(':')[0]}:{index + 16:02x}"
        body = manifest.adapted(document, self._changes(addresses, mac, spread, login))
        vm.start(self.site.client, body)
        guest = GuestVm(name, self.namespace, segment, mac, manifest.addresses_of(body), login=login)
        self.guests[name] = guest
        return guest

    def start_as_is(self, name: str, segment: Segment) -> GuestVm:
        """Ask for the VM of manifest *name*, whose NIC needs no attachment, address or MAC address from here."""
        self.home.make()
        vm.start(self.site.client, manifest.adapted(self.manifests[name], self._changes([], "", "")))
        self.guests[name] = GuestVm(name, self.namespace, segment, "", ())
        return self.guests[name]

    def _changes(
        self, addresses: list[str], mac: str, spread: str, login: tuple[str, str] | None = None
    ) -> manifest.Changes:
        image = self.site.target.image()
        return manifest.Changes(
            namespace=self.namespace,
            labels=ownership(self.site.run_id),
            image=image.image,
            addresses=addresses,
            mac=mac,
            user="" if login else image.user,
            password="" if login else image.password,
            public_key="" if login else self.site.access.key.public_line,
            memory_mib=image.memory_mib,
            spread=spread,
        )

    def guest(self, name: str) -> GuestVm:
        """A VM of this scenario, Running and with somebody logged in on its console; waits when it is not yet.

        Raises WaitHopeless and WaitTimeout (the platform does not start it), GuestUnreachable.
        """
        found = self.asked_for(name)
        if found.shell is None:
            state = vm.wait_running(self.site.client, found.namespace, found.name, deadline=Deadline.after(START_S))
            found.visited.append(state.node)
            found.uid = state.uid
            found.shell = self._console(found)
        return found

    def asked_for(self, name: str) -> GuestVm:
        """A VM of this scenario, however far it is. Raises UsageError when it has none of that name."""
        if name not in self.guests:
            raise UsageError(f"a VM {name} in this scenario", f"it has {', '.join(self.guests) or 'none'}")
        return self.guests[name]

    def _console(self, guest: GuestVm) -> Shell:
        """Somebody logged in on the guest's serial console; every byte of it goes to a file of the run."""
        return self._shell(guest, "console", self.site.target.image().boot_s)

    def _shell(self, guest: GuestVm, kind: Kind, seconds: float) -> Shell:
        vmi = self.site.client.get(VMI, guest.name, guest.namespace)
        log, image = self.site.console_log(f"{guest.namespace}_{guest.name}"), self.site.target.image()
        if guest.login:
            image = replace(image, user=guest.login[0], password=guest.login[1])
        found = ways(self.site.access, vmi, image, address=guest.address, on_output=log)
        shell, _ = open_shell(found, prefer=kind, deadline=Deadline.after(seconds))
        return shell

    def over_console(self, name: str, commands: Sequence[str]) -> list[CommandResult]:
        """Lines of shell in a guest, over its serial console. Raises as Shell.run."""
        shell = self.guest(name).shell
        assert shell is not None
        return [shell.run(["sh", "-c", line], deadline=Deadline.after(CHECK_S)) for line in commands]

    def over_ssh(self, name: str, commands: Sequence[str]) -> list[CommandResult]:
        """The same over SSH. Raises as session() and Shell.run."""
        self._ready(name)
        shell = self.session(name)
        try:
            return [shell.run(["sh", "-c", line], deadline=Deadline.after(CHECK_S)) for line in commands]
        finally:
            shell.close()

    def session(self, name: str) -> Shell:
        """A new SSH connection to a guest, for the caller to close. Raises GuestUnreachable naming every way tried.

        It is no check yet: a fault that is armed comes when something is to be seen over it.
        """
        guest = self.guest(name)
        self.site.settle()
        return self._shell(guest, "ssh", CHECK_S)

    def ping_gateway(self, name: str, segment: Segment) -> Check:
        """What a VM sees of the gateway of a segment."""
        guest = self._ready(name)
        return self._check(guest, f"gateway {segment.gateway}", segment, (guest.node,), segment.gateway)

    def ping_guest(self, name: str, other: str) -> Check:
        """What a VM sees of another's address in the segment of that other one."""
        guest, peer = self._ready(name), self._ready(other)
        address = next((a for a in peer.addresses if _same_net(a, guest)), peer.address)
        nodes = tuple(dict.fromkeys((guest.node, peer.node)))
        return self._check(guest, f"{peer} ({address})", peer.segment, nodes, address)

    def _check(self, guest: GuestVm, what: str, segment: Segment, nodes: tuple[str, ...], address: str) -> Check:
        here = (r for r in self.site.residents.of.get(segment.name, []) if r.node == guest.node)
        with asked(self.site.client, next(here, None), address) as macs:
            seen = self._ping(guest, address)
        return Check(guest, what, segment, nodes, seen, macs.result())

    def _ready(self, name: str) -> GuestVm:
        guest = self.guest(name)
        self.settle()
        return guest

    def settle(self) -> None:
        """Wait until the networks pass every worker; a fault that is armed is made then, once a VM runs."""
        self.site.settle()
        for guest in self.guests.values():
            if guest.node:
                elsewhere = [worker for worker in self.site.workers if worker != guest.node]
                self.faults.strike({
                    "vm": f"{guest.namespace}/{guest.name}", "node": guest.node, "mac": guest.mac,
                    "address": guest.address, "elsewhere": next(iter(elsewhere), ""),
                })  # fmt: skip
                return

    def _ping(self, guest: GuestVm, address: str) -> PingObservation:
        """Twice when the first lost more than the target allows: first packets of a new path are lost to learning."""
        limits, deadline = self.site.target.thresholds, Deadline.after(CHECK_S)
        assert guest.shell is not None
        shell = guest.shell

        def once() -> PingObservation:
            return ping(shell, address, count=limits.ping_count, interval_s=INTERVAL_S, deadline=deadline)

        seen = retry_inconclusive(once, deadline)
        found = seen.statistics
        lossy = found is not None and found.loss_percent > limits.ping_loss_percent
        if seen.reached and found and (lossy or found.duplicates):
            trace.note(guest.name, f"{seen.detail}: first packets may be lost to learning, once more")
            again = retry_inconclusive(once, deadline)
            seen = second_try(seen, again) if lossy else again
        return seen

    def migrate(self, name: str, to: str = "") -> migration.Migration:
        """Migrate a VM to a worker, or wherever the scheduler wants. Raises as migration.migrate."""
        guest = self._ready(name)
        began = time.monotonic()
        try:
            done = migration.migrate(
                self.site.client,
                guest.namespace,
                guest.name,
                to=to,
                labels=ownership(self.site.run_id),
                deadline=Deadline.after(MIGRATE_S),
            )
        except LabError as error:
            seconds = round(time.monotonic() - began, 3)
            facts.tell(name, facts.Migration(name, "", guest.node, to, seconds, failed=error.headline))
            raise
        self.moved(name, done)
        return done

    def moved(self, name: str, done: migration.Migration) -> None:
        """Remember and tell that a VM has moved, however that was brought about."""
        guest = self.guest(name)
        guest.visited.append(done.target)
        guest.left = done.timeline.left()
        trace.note(name, f"moved from {done.source} to {done.target} in {done.seconds:.1f} s")
        moments = done.timeline.moments
        phases = tuple(facts.Phase(phase, round(at - moments[0][1], 3)) for phase, at in moments)
        seconds = round(done.seconds, 3)
        facts.tell(name, facts.Migration(name, done.name, done.source, done.target, seconds, phases))

    def fate(self, name: str) -> Fate:
        """How far a VM gets that need not get far. Raises as kubevirt.fate."""
        found = self.asked_for(name)
        self.settle()
        return fate(self.site.client, found.namespace, found.name, deadline=Deadline.after(START_S))

    def change_mac(self, name: str, mac: str = "") -> None:
        """Give a VM's NIC another MAC address from inside, by default its own again. Raises Inconclusive."""
        guest = self._ready(name)
        assert guest.shell is not None
        wanted = mac or guest.mac
        change_mac(guest.shell, guest.worn, wanted, deadline=Deadline.after(CHECK_S))
        guest.worn = wanted

    def unvisited(self, name: str) -> str:
        """A worker that a VM has not been on. Raises UsageError when it has been on all."""
        guest = self.guest(name)
        left = [w for w in self.site.workers if w not in guest.visited]
        if not left:
            raise UsageError(f"a worker that {name} has not been on", f"it was on {', '.join(guest.visited)}")
        return left[0]

    def state(self, name: str) -> VmiState:
        """A VM as the platform reports it now."""
        guest = self.guest(name)
        return vm.current(self.site.client, guest.namespace, guest.name)

    def vmi(self, name: str) -> Obj:
        """A VM's VirtualMachineInstance as it is now."""
        guest = self.guest(name)
        return self.site.client.get(VMI, guest.name, guest.namespace)

    def let_go(self) -> None:
        """Close the consoles; all else stays."""
        for guest in self.guests.values():
            if guest.shell is not None:
                guest.shell.close()

    def close(self) -> None:
        """Let go, heal, and ask for the removal of everything; its end is waited for at the end of the run."""
        self.let_go()
        self.faults.heal()
        self.home.leave()


def nad_name(segment: Segment) -> str:
    """The attachment of a segment, as manifests name it."""
    return f"vlan-{segment.vlan}" if segment.vlan else segment.name.rpartition(" ")[2]


def _same_net(address: str, guest: GuestVm) -> bool:
    """Whether an address is in the same /24 as one of a guest's; enough to choose among a peer's addresses."""
    return any(address.rpartition(".")[0] == own.rpartition(".")[0] for own in guest.addresses)
