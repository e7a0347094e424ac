"""Judging traffic: which gap is too long, whether a session lived on, whether a guest is who it was.

Every sentence names the probe, the repeat, the phase and the numbers, so that it can be found again among the packets.
What lies within the error of a clock is inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from lab.core import clock
from lab.core.errors import Inconclusive, LabError, ProductFailure
from lab.guest.busy import Written
from lab.kubevirt.interfaces import VmiState
from lab.kubevirt.jobinfo import JobInfo
from lab.kubevirt.migration import Migration
from lab.kubevirt.timeline import BEFORE
from lab.probes.series import Series
from lab.topology.disruption import Together
from lab.topology.scene import GuestVm
from lab.topology.traffic import Disturbance, Measurement, Traffic

SLACK = 0.25
"""Of a bandwidth: the end of a migration is sent without limit."""
NO_POST_COPY = re.compile(r"Postcopy is not supported[^\n]*")
SESSIONS = {"TCP": "tcp", "SSH": "ssh"}
SILENT_MS = 2000.0
"""Of a session that is silent up to its end: its last records may be on their way for a while on a busy machine, and
one that is dead has been waited for."""


def longest_gap(traffic: Traffic, limit_ms: float) -> None:
    """Raises ProductFailure naming every ping over the limit, Inconclusive for one that is so within its error."""
    over, unsure = [], []
    for measured, series in _each(traffic, "ping"):
        gap, error = series.longest_gap_ms, series.gap_error_ms
        said = f"{_head(traffic, measured)}{series}{_where(measured, series)}"
        verdict = "passed"
        if gap - error > limit_ms:
            verdict = "failed"
            over.append(said)
        elif gap + error > limit_ms:
            verdict = "inconclusive"
            unsure.append(f"{said} (± {error:.0f} ms: {'; '.join(series.remarks)})")
        measured.judged.append(verdict)
    _raise(f"no gap over {limit_ms:g} ms", over, unsure)


def survived(traffic: Traffic, kind: str) -> None:
    """Raises ProductFailure naming each session that broke or stood still to the end, and the phase in which it did."""
    bad: list[str] = []
    for measured, series in _each(traffic, SESSIONS[kind]):
        known = len(bad)
        head = f"{_head(traffic, measured)}{series.title}"
        if series.broke:
            when = _when(measured.done.timeline.at(series.broke_at))
            bad.append(f"{head}: broke {when}, at {clock.stamp(series.broke_at)}: {series.broke}")
        elif silent := [gap for gap in series.gaps if gap.open and gap.ms > SILENT_MS]:
            phase = measured.done.timeline.at(silent[0].at)
            since = "since before it was asked for" if phase == BEFORE else f"from phase {phase}"
            bad.append(f"{head}: silent {since} to the end, for {silent[0].ms:.0f} ms")
        measured.judged.append("failed" if len(bad) > known else "passed")
    _raise(f"the {kind} session to live on", bad, [])


def _when(phase: str) -> str:
    return "before it was asked for" if phase == BEFORE else f"in phase {phase}"


def kept_address(traffic: Traffic, guest: GuestVm, state: VmiState) -> None:
    """Raises ProductFailure when a guest has, or the platform reports, other MAC or IP addresses than before."""
    seen = traffic.addresses.get(guest.name)
    if seen is None or not seen.before:
        raise Inconclusive(f"what {guest.name} says of its addresses", "nothing was read", guest.name)
    wrong = []
    if seen.before != seen.after:
        wrong.append(f"it says {_shown(seen.before)} before and {_shown(seen.after)} after")
    have = {address.partition("/")[0] for _, addresses in seen.after.values() for address in addresses}
    if missing := [address for address in guest.addresses if address not in have]:
        wrong.append(f"it no longer has {', '.join(missing)}")
    if state.mac() != guest.mac:
        wrong.append(f"it is reported with the MAC address {state.mac()!r} instead of {guest.mac}")
    _raise(f"{guest.name} with the addresses that it had", wrong, [])


def _shown(found: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    return (
        ", ".join(f"{name} {mac} {' '.join(addresses)}".strip() for name, (mac, addresses) in found.items()) or "none"
    )


def stayed(guest: GuestVm, state: VmiState) -> None:
    """Raises ProductFailure when a VM is not Running on the worker where it was, or another one runs in its place."""
    _same(guest, state)
    if state.node != guest.node or state.phase != "Running":
        raise ProductFailure(f"{guest.name} Running on {guest.node}", f"it is {state.phase} on {state.node}")


def _same(guest: GuestVm, state: VmiState) -> None:
    if guest.uid and state.uid != guest.uid:
        raise ProductFailure(f"{guest.name} to go on", f"another one is {state.phase} on {state.node} in its place")


def left(guest: GuestVm, state: VmiState) -> None:
    """Raises ProductFailure when a VM is still, or is again, where it was before its last move."""
    _same(guest, state)
    before = guest.visited[-2] if len(guest.visited) > 1 else guest.node
    if state.node == before or state.phase != "Running":
        raise ProductFailure(f"{guest.name} Running elsewhere than on {before}", f"it is {state.phase} on {state.node}")


def sent_within(done: Migration, info: JobInfo, limit_mib: float, own: str) -> None:
    """Raises ProductFailure when a guest was sent faster than its policy (*own*) allows, or no policy was used at all.

    QEMU counts what it sends with the guest stopped, too, which has no limit: hence the tolerance."""
    asked = done.state.get("migrationConfiguration") or {}
    policy = done.state.get("migrationPolicyName")
    took = (done.timeline.moments[-1][1] - done.timeline.moments[0][1]) * 1000
    least = info.processed_mib / limit_mib * 1000 * (1 - SLACK)
    wrong = []
    if not policy:
        wrong.append(f"no policy was used: the instance says {asked.get('bandwidthPerMigration')!r}")
    if info.elapsed_ms < least:
        wrong.append(f"QEMU sent {info}")
    if took < least:
        wrong.append(f"it was over {took / 1000:.1f} s after it was asked for, and {info.processed_mib} MiB were sent")
    _raise(f"{done.name} sent at no more than {limit_mib:g} MiB/s", _outranked(done, own, wrong), [])


def _outranked(done: Migration, own: str, wrong: list[str]) -> list[str]:
    """What is wrong as one sentence; first the policy that was used, if that is somebody else's."""
    policy = done.state.get("migrationPolicyName")
    said = f"the MigrationPolicy {policy} was used, and not {own}, which was made for this VM"
    return ["; ".join([said] * (bool(policy) and policy != own) + wrong)] if wrong else []


def made_by(done: Migration, mode: str, wanted: Mapping[str, object], own: str) -> None:
    """Raises ProductFailure when a migration was of another mode (PreCopy, PostCopy), or had other settings than its
    policy (*own*) has."""
    asked = done.state.get("migrationConfiguration") or {}
    wrong = [f"{key} is {asked.get(key)!r}, not {value!r}" for key, value in wanted.items() if asked.get(key) != value]
    if done.state.get("mode") != mode:
        wrong.append(f"its mode is {done.state.get('mode')!r}")
    _raise(f"{done.name} made by {mode}", _outranked(done, own, wrong), [])


def at_the_same_time(done: Together) -> None:
    """Raises ProductFailure when migrations were made one after the other, Inconclusive when that cannot be told."""
    sending = {move.name: move.timeline.sending() for move in done.moves}
    unseen = [f"{name}: no pre-copy was seen" for name, seen in sending.items() if seen is None]
    spans = [seen for seen in sending.values() if seen]
    apart = []
    if not unseen and max(begin for begin, _ in spans) >= min(end for _, end in spans):
        spent = [f"{name} {clock.stamp(seen[0])} to {clock.stamp(seen[1])}" for name, seen in sending.items() if seen]
        apart = [f"one after the other: {', '.join(spent)}"]
    _raise("the VMs sent at the same time", apart, unseen)


def kept_memory(name: str, found: Written) -> None:
    """Raises ProductFailure when a busy guest reads something else than it wrote, or has stopped writing."""
    if any(word in found.differs for word in ("differ", "EOF")):
        raise ProductFailure(f"{name} to read what it wrote", f"in round {found.after + 1}: {found.differs}")
    if found.differs:
        raise Inconclusive(f"{name} to keep writing to its memory", found.differs, name)
    if found.after <= found.before:
        raise ProductFailure(f"{name} to go on writing to its memory", f"it stands still in round {found.after + 1}")


def no_post_copy(error: LabError) -> str:
    """Why the workers cannot do post-copy, if that is why a migration failed; else ""."""
    found = NO_POST_COPY.search(str(error))
    return f"post-copy: {found[0]}" if found else ""


def _each(traffic: Traffic, kind: str) -> Iterable[tuple[Measurement[Disturbance], Series]]:
    found = [(measured, series) for measured in traffic.latest for series in measured.of(kind)]
    if not found:
        raise Inconclusive(f"a measurement by {kind}", "the scenario has none", "", "declare such a flow before")
    return found


def _head(traffic: Traffic, measured: Measurement[Disturbance]) -> str:
    return f"repeat {measured.number}: " if len(traffic.latest) > 1 else ""


def _where(measured: Measurement[Disturbance], series: Series) -> str:
    return f", {measured.where(series)}" if series.gaps else ""


def _raise(wanted: str, bad: list[str], unsure: list[str]) -> None:
    if bad:
        raise ProductFailure(wanted, "\n".join(bad))
    if unsure:
        raise Inconclusive(wanted, "\n".join(unsure), "", "repeat it")


def only_noted(error: LabError) -> str:
    """What `--measure` says instead of a verdict."""
    return f"measured only, not judged: {error.headline}"
