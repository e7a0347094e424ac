"""Judging single looks of every kind of probe. What proves nothing is inconclusive, else numbers are named."""

from __future__ import annotations

from lab.core.errors import ProductFailure
from lab.diagnosis import bigframes, byproto, slowlines
from lab.diagnosis.byproto import Other
from lab.diagnosis.leads import lead
from lab.probes.announcements import Heard
from lab.probes.dns import DnsObservation
from lab.probes.http import OK
from lab.probes.mtu import PathMtu
from lab.probes.observation import Observation
from lab.probes.services import ADDRESS, NAME
from lab.probes.throughput import Throughput
from lab.topology.probing import Known
from lab.topology.scene import GuestVm, Scene
from lab.topology.site import Site


def reached(site: Site, seen: Observation, other: Other) -> None:
    """Raises ProductFailure with what was seen instead and where that ends, Inconclusive."""
    if not seen.conclusive().reached:
        raise _failed(f"{seen.source} to reach {seen.target} by {seen.probe}", seen, byproto.silent(site, other))


def served(site: Site, seen: Observation, other: Other) -> None:
    """Raises ProductFailure when there was no answer, or one that the server which was started for it does not give."""
    reached(site, seen, other)
    if seen.detail != OK:
        cause = byproto.elsewhere(site, other, seen.detail)
        raise _failed(f"{seen.source} to be served at {seen.target}", seen, cause)


def named(site: Site, seen: DnsObservation, other: Other) -> None:
    """Raises ProductFailure when there was no answer, or another one than the server was given."""
    reached(site, seen, other)
    if ADDRESS not in seen.addresses:
        raise _failed(f"{NAME} to be {ADDRESS} for {seen.source}", seen, byproto.elsewhere(site, other, seen.detail))


def _failed(wanted: str, seen: Observation, cause: str) -> ProductFailure:
    found = f"{seen.detail}; {cause}"
    return ProductFailure(wanted, found, str(seen.evidence or ""), lead(cause, "the network"))


def passes(seen: PathMtu, size: int, scene: Scene, name: str) -> None:
    """Raises ProductFailure when packets of that many bytes from a VM do not pass in one piece, and where they end."""
    if seen.mtu < size:
        cause = bigframes.explain(scene.site, scene.guest(name).segment, size)
        raise ProductFailure(
            f"packets of {size} bytes to pass from {seen.source} to {seen.target}",
            "; ".join(said for said in (str(seen), cause) if said),
        )


def faster(seen: Throughput, mbit_s: float, scene: Scene | None = None, name: str = "") -> None:
    """Raises ProductFailure below so many Mbit/s, and behind which worker it is slow where *scene* shows it."""
    if seen.mbit_s < mbit_s:
        cause = slowlines.explain(scene.site, scene.guest(name).segment, mbit_s) if scene else ""
        raise ProductFailure(
            f"{mbit_s:g} Mbit/s from {seen.source} to {seen.target}",
            "; ".join(said for said in (str(seen), cause) if said),
            "",
            lead(cause, "the network"),
        )


def known(site: Site, seen: Known, other: Other) -> None:
    """Raises ProductFailure when the table has no MAC address of the host, or another one; Inconclusive."""
    look = seen.look
    reached(site, look, other)
    has = look.detail.partition(" ")[0]
    if has != seen.mac:
        cause = byproto.mistaken(site, other, has, seen.mac)
        raise _failed(f"{look.source} to know {look.target} by {seen.mac}", look, cause)


def announced(seen: Heard, guest: GuestVm) -> None:
    """Raises ProductFailure when nothing that switches learn from was heard of a VM that moved."""
    if not seen.announcing:
        raise ProductFailure(
            f"RARP or gratuitous ARP of {guest}, to which it moved, on every switch between there and {seen.place}",
            str(seen),
            advice="switches go on sending its traffic to the old worker until it speaks by itself: is RARP filtered?",
        )
