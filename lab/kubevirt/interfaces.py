"""A VMI's status, typed: phase, node, interfaces. Pure; every field that came with a later release may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.access.kinds import Obj


@dataclass(frozen=True)
class GuestInterface:
    """One entry of ``status.interfaces``; ``source`` names who reported it (``domain, guest-agent, multus-status``)."""

    name: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    guest_name: str = ""
    source: str = ""


@dataclass(frozen=True)
class VmiState:
    """What the harness needs of a VMI."""

    name: str
    namespace: str
    uid: str
    phase: str
    node: str
    interfaces: tuple[GuestInterface, ...] = ()

    def mac(self) -> str:
        """The MAC address of the first interface, as the platform reports it now."""
        return self.interfaces[0].mac if self.interfaces else ""


def read_vmi(vmi: Obj) -> VmiState:
    """A VirtualMachineInstance, typed."""
    meta, status = vmi["metadata"], vmi.get("status") or {}
    return VmiState(
        name=str(meta["name"]),
        namespace=str(meta.get("namespace", "")),
        uid=str(meta.get("uid", "")),
        phase=str(status.get("phase") or "no phase yet"),
        node=str(status.get("nodeName", "")),
        interfaces=tuple(_interface(i) for i in status.get("interfaces") or ()),
    )


def _interface(entry: Mapping[str, Any]) -> GuestInterface:
    addresses = entry.get("ipAddresses") or ([entry["ipAddress"]] if entry.get("ipAddress") else [])
    return GuestInterface(
        name=str(entry.get("name", "")),
        mac=str(entry.get("mac", "")).lower(),
        addresses=tuple(str(a) for a in addresses),
        guest_name=str(entry.get("interfaceName", "")),
        source=str(entry.get("infoSource", "")),
    )
