"""Judging what was observed: the one place where a look becomes a failure, with its cause.

A silence is only believed when packets were really sent; what proves nothing is inconclusive, not a failure.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from lab.access.errors import NotFound
from lab.access.kinds import NNCP, condition
from lab.core import facts
from lab.core.errors import GuestUnreachable, Inconclusive, LabError, ProductFailure
from lab.core.result import CommandResult
from lab.diagnosis import ends, stations, strays
from lab.diagnosis.cause import Said
from lab.diagnosis.gather import explain, scope_of, tell_cause
from lab.diagnosis.leads import lead
from lab.diagnosis.walk import Way, walk
from lab.kubevirt import vm
from lab.kubevirt.fate import Fate
from lab.kubevirt.interfaces import VmiState
from lab.nmstate.policy import enactments_of
from lab.probes.observation import Outcome
from lab.topology.scene import Check, GuestVm, Scene
from lab.topology.site import Site

LATE_MS = 300.0
"""Of an answer within a site: it waited in a queue."""


def reached(site: Site, check: Check) -> None:
    """Raises ProductFailure naming VM, worker, VLAN, what was sent and seen, and the cause; Inconclusive."""
    loss = check.seen.statistics.loss_percent if check.seen.statistics else 100.0
    answered = check.seen.reached and loss <= site.target.thresholds.ping_loss_percent
    held = answered and not _doubled(check) and not _claimed(check)
    _tell(check, "answer", held)
    if check.seen.outcome is Outcome.INCONCLUSIVE:
        lived_on(site, check.guest)
    check.seen.conclusive()
    if held:
        return
    cause = _cause(site, check)
    raise ProductFailure(
        f"{check.guest} to reach {check.what} on {check.segment}",
        f"{sentence(check)}; {cause}",
        str(check.seen.evidence or ""),
        lead(cause, check.segment.name),
    )


def lived_on(site: Site, guest: GuestVm) -> None:
    """Raises ProductFailure when a VM that was checked is no more, or another one runs under its name."""
    try:
        now = vm.current(site.client, guest.namespace, guest.name)
        same = not guest.uid or now.uid == guest.uid
        found = f"{'it' if same else 'another one'} is {now.phase} on {now.node or 'no worker'}"
        if same and now.phase == "Running":
            return
    except NotFound:
        found = "it is no more"
    raise ProductFailure(
        f"{guest} to go on",
        f"VM {guest.name} ended on {guest.node} during the check: {found}",
        f"VirtualMachineInstance {guest.namespace}/{guest.name}",
        f"why QEMU ended on {guest.node}: the launcher's log, and the kernel's for a lack of memory",
    )


def all_lived_on(scene: Scene) -> None:
    """Raises as lived_on for a VM of a scenario that was seen to run: one that was started anew answers as well."""
    for guest in scene.guests.values():
        if guest.uid:
            lived_on(scene.site, guest)


def _tell(check: Check, wanted: str, held: bool) -> None:
    """The look and what was wanted of it, for the record."""
    seen, found = check.seen, check.seen.statistics
    facts.tell(
        check.guest.name,
        facts.Check(
            vm=check.guest.name,
            node=check.guest.node,
            what=check.what,
            address=seen.target,
            segment=check.segment.name,
            nodes=check.nodes,
            wanted=wanted,
            outcome=seen.outcome.value,
            held=held,
            detail=seen.detail,
            sent=found.sent if found else 0,
            received=found.received if found else 0,
            command=shlex.join(seen.evidence.argv) if seen.evidence else "",
            output=seen.evidence.output[: facts.OUTPUT_LIMIT] if seen.evidence else "",
        ),
    )


def _cause(site: Site, check: Check) -> str:
    """From the guest outwards: its own NIC, the workers and the network, both ends' neighbour tables, the path."""
    scope = scope_of(site, check.segment, check.nodes)
    if plain := _doubled(check) or _claimed(check):
        tell_cause(scope, plain)
        return plain
    try:
        guest = ends.look(check.guest.shell)
        if said := ends.of_guest(check.guest, check.segment, guest):
            tell_cause(scope, said)
            return said
        with ThreadPoolExecutor(1, "walk") as pool:
            walked = pool.submit(copy_context().run, walk, site, Way.of(check))
            found = explain(site, check.segment, check.nodes)
            told = ends.outside(site, check.segment) if ends.open_to(found) else None
        nearer = stations.nearer(ends.refined(check, found, guest, told), walked.result())
        nearer = _queued(check, nearer)
        if nearer != found:
            tell_cause(scope, nearer)
        return nearer
    except LabError as error:
        return f"the cause could not be looked for ({error.headline})"


def _doubled(check: Check) -> str:
    """That most answers came more than once: a single one may be a switch that learned meanwhile."""
    found = check.seen.statistics
    if found is None or found.received < 2 or 2 * found.duplicates <= found.received:
        return ""
    return Said(f"answers arrive twice: something on {check.segment} sends a copy back into it", "", "network")


def _claimed(check: Check) -> str:
    """That more than one host answers by ARP for what was pinged, so that it is chance which one is reached."""
    if not check.seen.reached or len(check.macs) < 2:
        return ""
    return Said(
        f"two hosts on {check.segment} have the address {check.seen.target}: ARP is answered by "
        f"{' and by '.join(check.macs)}",
        part="network",
    )


def _queued(check: Check, found: str) -> str:
    """A nearer cause than a gateway that is down, where some of its answers came, and late; else *found*."""
    if not check.seen.reached or not _late(check) or getattr(found, "part", "") not in ("gateway", "network"):
        return found
    return Said(
        f"answers are late for all residents too: what {check.what} sends on {check.segment} waits in a queue, "
        "and what finds it full is lost",
        part="gateway",
    )


def _late(check: Check) -> str:
    """What to say of answers that were on their way for long."""
    worst = max(check.seen.statistics.rtts_ms, default=0.0) if check.seen.statistics else 0.0
    return f", the latest {worst:.0f} ms late" if worst >= LATE_MS else ""


def sentence(check: Check) -> str:
    """What was seen: ``VM a on worker-2: no answer from gateway 192.168.24.1 on VLAN 2024 (5 sent, 0 received)``."""
    found = check.seen.statistics
    counts = f"{found.sent} sent, {found.received} received" if found else check.seen.detail
    answer = "answers are lost" if check.seen.reached else "no answer"
    if _doubled(check):
        answer = "more than one answer"
    elif _claimed(check):
        answer = "an answer, by chance,"
    return f"{check.guest}: {answer} from {check.what} on {check.segment} ({counts}{_late(check)})"


def silent(check: Check, site: Site | None = None) -> None:
    """Raises ProductFailure when anything came back, with the cause where *site* shows it; Inconclusive when nothing
    was really sent."""
    sent = check.seen.statistics.sent if check.seen.statistics else 0
    _tell(check, "silence", check.seen.not_reached and sent > 0)
    check.seen.conclusive()
    if not sent:
        raise Inconclusive(
            f"packets sent from {check.guest} to {check.what}, so that silence means something",
            check.seen.detail,
            str(check.seen.evidence or ""),
            "has the guest an address and a route for it?",
        )
    if check.seen.reached:
        cause = strays.explain(site, check) if site else ""
        raise ProductFailure(
            f"silence between {check.guest} ({check.guest.segment}) and {check.what}",
            "; ".join(said for said in (check.seen.detail, cause) if said),
            str(check.seen.evidence or ""),
        )


def kept_from(check: Check, vlan: int) -> None:
    """Raises ProductFailure when a VM whose attachment has *vlan* is answered on the untagged network; Inconclusive."""
    try:
        silent(check)
    except ProductFailure as heard:
        raise ProductFailure(
            f"VLAN {vlan} of its attachment to keep {check.guest} from {check.what} on {check.segment}",
            f"{heard.found}: its frames go out untagged",
            str(check.seen.evidence or ""),
            f"has the bridge of the worker vlan_filtering, and is its bridge plugin v0.8.0 or later? "
            f"`bridge vlan show` on {check.guest.node}",
        ) from heard


def apart(first: GuestVm, second: GuestVm) -> None:
    """Raises ProductFailure when two VMs are on one worker."""
    if first.node == second.node:
        raise ProductFailure("two VMs on different workers", f"{first.name} and {second.name} are on {first.node}")


def available(site: Site, name: str) -> None:
    """Raises ProductFailure naming the workers whose enactment of the present generation is not Available."""
    states = enactments_of(site.client, name, site.workers)
    wrong = [f"{node} {state}" for node, state in states.items() if state != "Available"]
    if wrong:
        raise ProductFailure(f"policy {name} Available on {', '.join(site.workers)}", ", ".join(wrong))


def degraded(site: Site, name: str, reason: str, outcome: LabError | None) -> None:
    """Raises ProductFailure unless the policy ended Degraded by its own condition, for *reason*, the worker named."""
    found = condition(site.client.find(NNCP, name), "Degraded")
    said = str(outcome or "it was applied")
    named = [node for node in site.workers if f"on {node}:" in said]
    if found.get("status") != "True" or reason not in said or not named:
        raise ProductFailure(
            f"the policy {name} Degraded since {reason!r}, and the worker named",
            f"Degraded is {found.get('status', 'absent')}: {found.get('message', '')}; {said}",
            f"NodeNetworkConfigurationPolicy {name}",
        )
    site.say([f"{name}: {found.get('message')}, on {', '.join(named)}"])


def no_uplink(site: Site, port: str) -> None:
    """Raises ProductFailure naming the workers on which *port* is not reported as leading nowhere."""
    found = {f.node: f for f in site.policies.uplink_findings() if f.port == port}
    missing = [node for node in site.workers if node not in found]
    if missing:
        raise ProductFailure(f"{port} to be no uplink on every worker", f"nothing says so of {', '.join(missing)}")
    site.say(str(f) for f in found.values())


def no_bridge(site: Site, name: str) -> None:
    """Raises Inconclusive when a worker has a Linux bridge of that name: then its absence cannot be tried here."""
    have = [s.node for s in site.policies.node_states() if (name, "linux-bridge") in s.interfaces]
    if have:
        raise Inconclusive(
            f"workers without a Linux bridge {name}, to see what happens then",
            f"{', '.join(have)} had one before this feature",
            site.client.server,
            "that is fine for everything else: deselect this scenario",
        )


def waits(site: Site, guest: GuestVm, seen: Fate, reason: str) -> None:
    """Raises ProductFailure when a VM runs that no worker has a place for, or waits for another reason."""
    wanted = f"VM {guest.name} to find no worker, since {reason!r}"
    if seen.node:
        raise ProductFailure(wanted, f"it runs on {seen.node}", f"VM {guest.namespace}/{guest.name}")
    if reason not in seen.why:
        raise ProductFailure(wanted, f"it waits, but says: {seen.why}", f"VM {guest.namespace}/{guest.name}")
    site.say([f"{guest.name}: {seen.why}"])


def refused(site: Site, guest: GuestVm, seen: Fate, words: Sequence[str]) -> None:
    """Raises ProductFailure when the reason why a VM gets no network does not name all of *words*."""
    if missing := [word for word in words if word not in seen.why]:
        raise ProductFailure(
            f"a reason that names {', '.join(missing)} for VM {guest.name} being without network",
            seen.why,
            f"VM {guest.namespace}/{guest.name}",
        )
    site.say([f"{guest.name}: {seen.why}"])


def travelled(guest: GuestVm, state: VmiState, count: int) -> None:
    """Raises ProductFailure when a VM was on another number of workers, or shows another MAC address."""
    if len(set(guest.visited)) != count:
        raise ProductFailure(f"{guest.name} on {count} workers in turn", " -> ".join(guest.visited))
    if state.mac() != guest.mac:
        raise ProductFailure(f"{guest.name} with its MAC address {guest.mac}", f"it is reported with {state.mac()!r}")


def alike(scene: Scene, name: str, commands: Sequence[str]) -> None:
    """Raises ProductFailure when a guest whose console answers cannot be reached over SSH, or says otherwise there."""
    console = scene.over_console(name, commands)
    try:
        ssh = scene.over_ssh(name, commands)
    except GuestUnreachable as unreachable:
        raise ProductFailure(
            f"{scene.guest(name)} to answer over SSH as it does over its serial console",
            unreachable.found,
            unreachable.where,
            "is there a firewall between, or another host with its address? Over the console: `netstat -tln`",
        ) from unreachable
    same(ssh, console)


def same(first: Sequence[CommandResult], second: Sequence[CommandResult]) -> None:
    """Raises ProductFailure with both answers of every command on which two ways disagree."""
    differ = [
        f"{a}\n{b}"
        for a, b in zip(first, second, strict=True)
        if (a.exit_code, a.stdout, a.stderr) != (b.exit_code, b.stdout, b.stderr)
    ]
    if differ:
        raise ProductFailure("the same output and exit status either way", "\n".join(differ))
