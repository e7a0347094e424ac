"""Fixed MAC addresses for secondary interfaces, as kubemacpool gives them on OpenShift. Pure.

Why: an OVN port accepts only the MAC of its pod, and a migration's target pod gets a new one unless the VM's own is
fixed: the guest would then be cut off for good. Upstream: kubemacpool pkg/pool-manager/virtualmachine_pool.go.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from lab.embedded.operators.objects import Obj, dig, labels_of, name_of, namespace_of

OPT_OUT = "mutatevirtualmachines.kubemacpool.io"


def assign(vm: Obj, old: Obj | None, taken: set[str]) -> bool:
    """Give each secondary interface that lacks a MAC its former one, or one of its own not in `taken`; True if any."""
    before = {entry.get("name", ""): entry.get("macAddress") for entry in interfaces(old)} if old is not None else {}
    secondary = {
        network.get("name", "")
        for network in dig(vm, "spec", "template", "spec", "networks", default=[])
        if network and network.get("multus") and not network["multus"].get("default")
    }
    changed = False
    for interface in interfaces(vm):
        if not interface or interface.get("macAddress") or interface.get("name") not in secondary:
            continue
        mac = before.get(interface["name"]) or _free(vm, interface["name"], taken)
        interface["macAddress"] = mac
        taken.add(mac.lower())
        changed = True
    return changed


def interfaces(vm: Obj | None) -> list[Obj]:
    found: list[Obj] = dig(vm, "spec", "template", "spec", "domain", "devices", "interfaces", default=[])
    return found


def addresses(specs: Iterable[Obj]) -> set[str]:
    """MACs named in VMI specs, in lower case."""
    return {
        str(entry["macAddress"]).lower()
        for spec in specs
        for entry in dig(spec, "domain", "devices", "interfaces", default=[])
        if entry.get("macAddress")
    }


def ignored(vm: Obj, namespace: Obj | None) -> bool:
    """Opted out by label, on the VM or on its namespace."""
    return any(labels_of(entry).get(OPT_OUT) == "ignore" for entry in (vm, namespace) if entry is not None)


def _free(vm: Obj, interface: str, taken: set[str]) -> str:
    name = name_of(vm) if vm["metadata"].get("name") else str(uuid.uuid4())  # generateName: no name to be stable by
    identity = f"{namespace_of(vm)}/{name}/{interface}"
    for attempt in range(10_000):
        digest = hashlib.sha256(f"{identity}/{attempt}".encode()).digest()
        mac = ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
        if mac not in taken:
            return mac
    raise AssertionError("ten thousand hashes in a row are taken")
