"""Judging single looks of every kind of probe. What proves nothing is inconclusive, else numbers are named."""

from __future__ import annotations

from lab.core.errors import ProductFailure
from lab.diagnosis import bigframes
from lab.probes.announcements import Heard
from lab.probes.dns import DnsObservation
from lab.probes.mtu import PathMtu
from lab.probes.observation import Observation
from lab.probes.services import ADDRESS, NAME
from lab.probes.throughput import Throughput
from lab.topology.probing import Known
from lab.topology.scene import GuestVm, Scene


def reached(seen: Observation) -> None:
    """Raises ProductFailure with what was seen instead, Inconclusive."""
    if not seen.conclusive().reached:
        raise ProductFailure(
            f"{seen.source} to reach {seen.target} by {seen.probe}", seen.detail, str(seen.evidence or "")
        )


def named(seen: DnsObservation) -> None:
    """Raises ProductFailure when there was no answer, or another one than the server was given."""
    reached(seen)
    if ADDRESS not in seen.addresses:
        raise ProductFailure(f"{NAME} to be {ADDRESS} for {seen.source}", seen.detail, str(seen.evidence or ""))


def passes(seen: PathMtu, size: int, scene: Scene, name: str) -> None:
    """Raises ProductFailure when packets of that many bytes from a VM do not pass in one piece, and where they end."""
    if seen.mtu < size:
        cause = bigframes.explain(scene.site, scene.guest(name).segment, size)
        raise ProductFailure(
            f"packets of {size} bytes to pass from {seen.source} to {seen.target}",
            "; ".join(said for said in (str(seen), cause) if said),
        )


def faster(seen: Throughput, mbit_s: float) -> None:
    """Raises ProductFailure below so many Mbit/s."""
    if seen.mbit_s < mbit_s:
        raise ProductFailure(f"{mbit_s:g} Mbit/s from {seen.source} to {seen.target}", str(seen))


def known(seen: Known) -> None:
    """Raises ProductFailure when the table has no MAC address of the host, or another one; Inconclusive."""
    look = seen.look
    reached(look)
    if not look.detail.startswith(f"{seen.mac} "):
        raise ProductFailure(
            f"{look.source} to know {look.target} by {seen.mac}", look.detail, str(look.evidence or "")
        )


def announced(seen: Heard, guest: GuestVm) -> None:
    """Raises ProductFailure when nothing that switches learn from was heard of a VM that moved."""
    if not seen.announcing:
        raise ProductFailure(
            f"RARP or gratuitous ARP of {guest}, to which it moved, on every switch between there and {seen.place}",
            str(seen),
            advice="switches go on sending its traffic to the old worker until it speaks by itself: is RARP filtered?",
        )
