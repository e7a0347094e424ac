"""What virt-handler says about a VMI: pure functions from observations to VMI.status.

Rules and texts are KubeVirt's (pkg/virt-handler/vm.go, pkg/network/setup/netstat.go, pkg/network/vmispec).
Nothing here observes anything: a condition handed in as true must have been seen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KubevirtRelease
from lab.embedded.node.domain import Domain, Nic, memory_of, targets
from lab.embedded.node.names import now
from lab.embedded.node.vmroutes import ALLOW_BRIDGE

Obj = dict[str, Any]
GUEST_ONLY_MAX = 10
FINAL = ("Succeeded", "Failed")


def condition(type: str, status: str, reason: str = "", message: str = "", *, stamped: bool = True) -> Obj:
    """A condition; ``stamped`` False leaves lastTransitionTime null, as virt-handler does for some."""
    found: Obj = {"type": type, "status": status, "lastProbeTime": None}
    found["lastTransitionTime"] = now() if stamped else None
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def put(conditions: list[Obj], wanted: Obj) -> None:
    """Set a condition in place; an equal one keeps its times."""
    for index, present in enumerate(conditions):
        if present.get("type") == wanted["type"]:
            if any(present.get(key, "") != wanted.get(key, "") for key in ("status", "reason", "message")):
                conditions[index] = wanted
            return
    conditions.append(wanted)


def drop(conditions: list[Obj], type: str) -> None:
    """Remove a condition in place."""
    conditions[:] = [present for present in conditions if present.get("type") != type]


def move_to(status: Obj, phase: str) -> None:
    """Change the phase and note when."""
    if status.get("phase") == phase:
        return
    status["phase"] = phase
    status.setdefault("phaseTransitionTimestamps", []).append({"phase": phase, "phaseTransitionTimestamp": now()})


def live_migratable(vmi: Obj, private_disks: Sequence[str], release: KubevirtRelease = DEFAULT_KUBEVIRT) -> Obj:
    """The LiveMigratable condition; ``private_disks`` are messages about disks that are not shared."""
    spec = vmi["spec"]
    pods = {network["name"] for network in spec.get("networks") or [] if "pod" in network}
    annotations = vmi["metadata"].get("annotations") or {}
    for interface in spec["domain"].get("devices", {}).get("interfaces") or []:
        if interface["name"] not in pods or "masquerade" in interface or "passtBinding" in interface:
            continue
        if not ("bridge" in interface and ALLOW_BRIDGE in annotations):
            why = release.not_masquerade
            return condition("LiveMigratable", "False", "InterfaceNotLiveMigratable", why, stamped=False)
    if private_disks:
        return condition("LiveMigratable", "False", "DisksNotLiveMigratable", private_disks[0], stamped=False)
    return condition("LiveMigratable", "True", stamped=False)


def storage_live_migratable(live: Obj) -> Obj:
    """Storage alone: follows the interfaces, and ignores disks that are not shared."""
    if live["status"] == "True" or live.get("reason") == "DisksNotLiveMigratable":
        return condition("StorageLiveMigratable", "True", stamped=False)
    return condition("StorageLiveMigratable", "False", "NotMigratable", live.get("message", ""), stamped=False)


def not_shared(vmi: Obj, access_modes: Mapping[str, Sequence[str]]) -> list[str]:
    """Messages about volumes that cannot be reached from another node; modes by claim name."""
    found = []
    for volume in vmi["spec"].get("volumes") or []:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName") or volume.get("dataVolume", {}).get("name")
        if claim and "ReadWriteMany" not in access_modes.get(claim, ()):
            found.append(
                f"cannot migrate VMI: PVC {claim} is not shared, live migration requires that all PVCs must be shared "
                "(using ReadWriteMany access mode)"
            )
        if "hostDisk" in volume and not volume["hostDisk"].get("shared"):
            found.append("cannot migrate VMI with non-shared HostDisk")
    return found


def _link_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_link_local
    except ValueError:
        return False


def _addresses(nic: Nic, guest: Obj | None, pod: Sequence[str]) -> list[str]:
    if pod and nic.pod_network:
        return list(pod)
    seen = list(guest["addresses"]) if guest else []
    if nic.binding == "masquerade":
        return [address for address in seen if not _link_local(address)]
    return sorted(seen, key=_link_local)


def interfaces(
    nics: Sequence[Nic], guest: Sequence[Obj] | None, pod_ips: Mapping[str, Sequence[str]], multus: Iterable[str]
) -> list[Obj]:
    """VMI.status.interfaces.

    ``guest`` is what the guest agent says (None: nothing), ``pod_ips`` the addresses of pod interfaces by name,
    ``multus`` the pod interfaces named in the pod's network-status.  A NIC nobody knows an address of has no IP keys.
    """
    by_mac = {entry["mac"].lower(): entry for entry in guest or [] if entry["mac"]}
    listed = set(multus)
    found = []
    for nic in sorted(nics, key=lambda nic: nic.pod_if != "eth0"):
        seen = by_mac.pop(nic.mac, None)
        sources = ["domain"]
        sources += ["guest-agent"] if seen else []
        sources += ["multus-status"] if nic.pod_if != "eth0" and nic.pod_if in listed else []
        entry: Obj = {"name": nic.name, "podInterfaceName": nic.pod_if, "mac": nic.mac}
        entry["infoSource"] = ", ".join(sources)
        if seen:
            entry["interfaceName"] = seen["name"]
        ips = _addresses(nic, seen, pod_ips.get(nic.pod_if, ()))
        if ips:
            entry["ipAddress"], entry["ipAddresses"] = ips[0], ips
        found.append({**entry, "linkState": "up" if nic.up else "down", "queueCount": 1})
    extra = [entry for entry in by_mac.values() if entry["name"] != "lo" and entry["mac"] != "00:00:00:00:00:00"]
    return found + [_guest_only(entry) for entry in extra[:GUEST_ONLY_MAX]]


def _guest_only(entry: Obj) -> Obj:
    found: Obj = {"interfaceName": entry["name"], "mac": entry["mac"], "infoSource": "guest-agent"}
    if entry["addresses"]:
        found["ipAddress"], found["ipAddresses"] = entry["addresses"][0], list(entry["addresses"])
    return found


def about_domain(vmi: Obj, domain: Domain, machine: str) -> Obj:
    """Parts of VMI.status that follow from the running domain."""
    memory = vmi["spec"]["domain"].get("memory", {}).get("guest") or f"{memory_of(vmi) // 2**20}Mi"
    return {
        "runtimeUser": 107,
        "machine": {"type": machine},
        "currentCPUTopology": {"cores": domain.cores, "sockets": domain.sockets, "threads": domain.threads},
        "memory": {"guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory},
        "volumeStatus": targets(domain.disks),
        "migrationMethod": "BlockMigration" if domain.disks else "LiveMigration",
        "migrationTransport": "Unix",
    }


def migrating(vmi: Obj) -> Obj | None:
    """The migrationState of a migration that is not over yet."""
    state: Obj | None = vmi.get("status", {}).get("migrationState")
    if not state or state.get("completed") or state.get("failed") or state.get("endTimestamp"):
        return None
    return state
