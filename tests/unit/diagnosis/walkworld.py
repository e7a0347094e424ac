"""Walks as they were recorded on a lab with real parts, each with one of them broken; unread columns are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.diagnosis.guestside import read_asked, read_devices, tap_and_cable
from lab.diagnosis.localpath import Readings, Subject
from lab.ovn import frames, zonestate

FOLDER = Path(__file__).parent / "walks"
NETWORK = "localnet-network"
"""A name that no tap is called after: the only one that is no pod network's is taken."""


def text(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text()


def subject(number: int, node: str, pod: tuple[str, str]) -> Subject:
    return Subject(
        "vm-a",
        f"02:00:00:20:24:1{number}",
        f"192.168.24.2{number}",
        f"virtlab-vm-on-vlan-2024-reaches-th-{pod[0]}",
        f"virt-launcher-vm-a-{pod[1]}",
        node,
        "VLAN 2024",
        2024,
        "vlan-2024",
        "vlan-2024",
        "192.168.24.1",
    )


ACL = subject(0, "worker-2", ("b2qt6", "nbfk9"))
UNPLUGGED = subject(3, "worker-3", ("sct37", "857cs"))
TAP = subject(4, "worker-2", ("wqsg9", "x5872"))


def inner(case: str, who: Subject) -> Readings:
    """What the guest and its pod counted."""
    asked = read_asked(text(f"{case}/guest"), who.mac, who.target)
    pod = read_devices(text(f"{case}/pod-before")), read_devices(text(f"{case}/pod-after"))
    tap, cable = tap_and_cable(pod[1], NETWORK)
    return Readings(guest=asked.counts, nic=asked.nic, pod=pod, tap=tap, cable=cable)


def whole(case: str, who: Subject) -> Readings:
    """All of it."""
    return replace(
        inner(case, who),
        before=frames.read_look(who.node, text(f"{case}/before")),
        after=frames.read_look(who.node, text(f"{case}/after")),
        flows=frames.read_flows(text(f"{case}/flows")),
        trace=frames.read_trace(text(f"{case}/trace")),
        zone=zonestate.read_zone(who.node, text(f"{case}/zone")),
        seconds=2.8,
    )
