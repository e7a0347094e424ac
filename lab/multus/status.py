"""What Multus says a pod was given: the network-status annotation, typed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.access.kinds import Obj
from lab.multus.attachment import NETWORK_STATUS


@dataclass(frozen=True)
class Attached:
    """One network of a pod, as attached; ``name`` is ``<namespace>/<nad>``, or the cluster's for the default one."""

    name: str
    interface: str
    mac: str = ""
    ips: tuple[str, ...] = ()
    default: bool = False


def attached(pod: Obj) -> list[Attached]:
    """The networks of a pod; empty while Multus has not written, or when what is there is no JSON list."""
    text = ((pod.get("metadata") or {}).get("annotations") or {}).get(NETWORK_STATUS, "")
    try:
        entries = json.loads(text) if text else []
    except ValueError:
        return []
    return [_attached(e) for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _attached(entry: Mapping[str, Any]) -> Attached:
    return Attached(
        name=str(entry.get("name", "")),
        interface=str(entry.get("interface", "")),
        mac=str(entry.get("mac", "")).lower(),
        ips=tuple(str(ip) for ip in entry.get("ips") or ()),
        default=bool(entry.get("default")),
    )
