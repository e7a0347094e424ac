"""Judging traffic: which gap is too long, whether a session lived on, whether a guest is who it was.

Every sentence names the probe, the repeat, the phase and the numbers, so that it can be found again among the packets.
What lies within the error of a clock is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.core import clock
from lab.core.errors import Inconclusive, LabError, ProductFailure
from lab.kubevirt.interfaces import VmiState
from lab.probes.series import Series
from lab.topology.scene import GuestVm
from lab.topology.traffic import Disturbance, Measurement, Traffic

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
        if gap - error > limit_ms:
            over.append(said)
        elif gap + error > limit_ms:
            unsure.append(f"{said} (± {error:.0f} ms: {'; '.join(series.remarks)})")
    _raise(f"no gap over {limit_ms:g} ms", over, unsure)


def survived(traffic: Traffic, kind: str) -> None:
    """Raises ProductFailure naming each session that broke or stood still to the end, and the phase in which it did."""
    bad = []
    for measured, series in _each(traffic, SESSIONS[kind]):
        head = f"{_head(traffic, measured)}{series.title}"
        if series.broke:
            phase = measured.done.timeline.at(series.broke_at)
            bad.append(f"{head}: broke in phase {phase}, at {clock.stamp(series.broke_at)}: {series.broke}")
        elif silent := [gap for gap in series.gaps if gap.open and gap.ms > SILENT_MS]:
            phase = measured.done.timeline.at(silent[0].at)
            bad.append(f"{head}: silent from phase {phase} to the end, for {silent[0].ms:.0f} ms")
    _raise(f"the {kind} session to live on", bad, [])


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
    """Raises ProductFailure when a VM is not Running on the worker where it was."""
    if state.node != guest.node or state.phase != "Running":
        raise ProductFailure(f"{guest.name} Running on {guest.node}", f"it is {state.phase} on {state.node}")


def left(guest: GuestVm, state: VmiState) -> None:
    """Raises ProductFailure when a VM is still, or is again, where it was before its last move."""
    before = guest.visited[-2] if len(guest.visited) > 1 else guest.node
    if state.node == before or state.phase != "Running":
        raise ProductFailure(f"{guest.name} Running elsewhere than on {before}", f"it is {state.phase} on {state.node}")


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
