"""A guest as a QEMU command line: pure data and builders, nothing here starts or touches anything.

Equal input gives equal arguments on both ends of a migration: QEMU refuses a stream whose devices
differ.  What the arguments must hold is measured, see docs: offloads off (the userspace datapath
forwards frames as they come), one accelerator named, no default devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.node import cloudinit
from lab.embedded.node.names import bridge_of, pod_interface, quantity, tap_of

Obj = dict[str, Any]
MIB = 2**20
MINIMUM_MIB = 64
OFFLOADS_OFF = "csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
ANNOUNCE_BY_QEMU = "guest_announce=off"
"""QEMU's own RARPs after a migration suffice; the guest's would be 20 commands a second on its control queue."""
APPEND = "console=ttyS0 quiet panic=1 cryptomgr.notests"
"""The kernel's tests of its own ciphers take an emulated processor 0.4 s of the 3 that a boot takes."""
AGENT_PORT = "org.qemu.guest_agent.0"
BUILT_IN_DISK_BYTES = 64 * MIB
"""Size of the empty read-only disk that stands where a containerDisk would be: the guest boots from its kernel."""


@dataclass(frozen=True)
class Nic:
    """One guest interface; ``binding`` is bridge or masquerade, ``pod_if`` what the CNI calls it in the pod."""

    name: str
    pod_if: str
    mac: str
    binding: str
    pod_network: bool = False
    up: bool = True
    mtu: int = 1500

    @property
    def tap(self) -> str:
        return tap_of(self.pod_if)

    @property
    def bridge(self) -> str:
        return bridge_of(self.pod_if)


@dataclass(frozen=True)
class Disk:
    """One virtio disk; ``kind`` is image (the built-in guest), cloudinit or scratch. ``size`` in bytes, 0 unknown."""

    name: str
    kind: str
    size: int = 0


@dataclass(frozen=True)
class Domain:
    """All that QEMU is told about a guest."""

    name: str
    uuid: str
    memory_mib: int
    cores: int
    sockets: int
    threads: int
    nics: tuple[Nic, ...]
    disks: tuple[Disk, ...]
    serial: bool = True


@dataclass(frozen=True)
class Host:
    """What this machine gives every guest."""

    kernel: Path
    initrd: Path
    accel: str = "tcg,tb-size=64"
    data_dirs: tuple[str, ...] = ()

    @property
    def cpu(self) -> str:
        return "host" if self.accel.startswith("kvm") else "max"


@dataclass(frozen=True)
class Sockets:
    """Descriptors of listening UNIX sockets that QEMU inherits, so that nobody waits for a path to appear."""

    monitor: int
    serial: int
    agent: int


def networks(vmi: Obj) -> list[tuple[Obj, Obj]]:
    """Pairs (interface, network) in the order of the interfaces, `state: absent` left out. Raises LabError."""
    spec = vmi["spec"]
    by_name = {network["name"]: network for network in spec.get("networks") or []}
    pairs = []
    for interface in spec["domain"].get("devices", {}).get("interfaces") or []:
        if interface["name"] not in by_name:
            raise LabError(f"wanted a network for interface {interface['name']!r}", f"networks {sorted(by_name)}")
        if interface.get("state") != "absent":
            pairs.append((interface, by_name[interface["name"]]))
    return pairs


def pod_if_of(network: Obj) -> str:
    """The pod's interface behind a network of the VMI: eth0 for the default one."""
    primary = "pod" in network or network.get("multus", {}).get("default")
    return "eth0" if primary else pod_interface(network["name"])


def _binding(interface: Obj) -> str:
    for name in ("masquerade", "bridge"):
        if name in interface:
            return name
    plugin = interface.get("binding", {}).get("name")
    kind = plugin or next((key for key in ("sriov", "passtBinding", "macvtap", "slirp") if key in interface), "none")
    raise LabError(
        f"wanted a bridge or masquerade binding for interface {interface['name']!r}",
        kind,
        advice="bridge: {} for secondary networks, masquerade: {} for the pod network",
    )


def nics_of(vmi: Obj, pod_macs: dict[str, str]) -> tuple[Nic, ...]:
    """Guest interfaces. MAC: spec, else VMI.status, else what the pod's interface had (``pod_macs`` by pod_if)."""
    status = {entry.get("name"): entry.get("mac") for entry in vmi.get("status", {}).get("interfaces") or []}
    found = []
    for interface, network in networks(vmi):
        pod_if = pod_if_of(network)
        mac = interface.get("macAddress") or status.get(interface["name"]) or pod_macs.get(pod_if)
        if not mac:
            raise LabError(f"wanted a MAC for interface {interface['name']!r}", f"none in spec, status or on {pod_if}")
        found.append(
            Nic(
                name=interface["name"],
                pod_if=pod_if,
                mac=str(mac).replace("-", ":").lower(),
                binding=_binding(interface),
                pod_network="pod" in network,
                up=interface.get("state") != "down",
            )
        )
    return tuple(found)


def _disk(name: str, volume: Obj) -> Disk | None:
    if cloudinit.source_of(volume):
        return Disk(name, "cloudinit")
    if "emptyDisk" in volume:
        return Disk(name, "scratch", quantity(volume["emptyDisk"]["capacity"]))
    if {"containerDisk", "persistentVolumeClaim", "dataVolume", "ephemeral", "hostDisk"} & volume.keys():
        return Disk(name, "image", BUILT_IN_DISK_BYTES)
    return None


def disks_of(vmi: Obj) -> tuple[Disk, ...]:
    """Disks in spec order; a volume that no disk names comes last, as KubeVirt's defaults have it."""
    spec = vmi["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or []}
    named = [disk["name"] for disk in spec["domain"].get("devices", {}).get("disks") or []]
    order = [name for name in named if name in volumes] + [name for name in volumes if name not in named]
    return tuple(disk for name in order if (disk := _disk(name, volumes[name])))


def memory_of(vmi: Obj) -> int:
    """Guest memory in bytes: memory.guest, else the memory request, else hugepages' domain default of 128Mi."""
    domain = vmi["spec"]["domain"]
    requests = domain.get("resources", {}).get("requests", {})
    limits = domain.get("resources", {}).get("limits", {})
    given = domain.get("memory", {}).get("guest") or requests.get("memory") or limits.get("memory") or "128Mi"
    return quantity(given)


def domain_of(vmi: Obj, pod_macs: dict[str, str]) -> Domain:
    """The guest that a VMI asks for. Raises LabError for what this lab cannot give."""
    meta, spec = vmi["metadata"], vmi["spec"]
    cpu = spec["domain"].get("cpu", {})
    devices = spec["domain"].get("devices", {})
    return Domain(
        name=f"{meta['namespace']}_{meta['name']}",
        uuid=spec["domain"].get("firmware", {}).get("uuid") or meta["uid"],
        memory_mib=max(MINIMUM_MIB, memory_of(vmi) // MIB),
        cores=int(cpu.get("cores") or 1),
        sockets=int(cpu.get("sockets") or 1),
        threads=int(cpu.get("threads") or 1),
        nics=nics_of(vmi, pod_macs),
        disks=disks_of(vmi),
        serial=devices.get("autoattachSerialConsole", True),
    )


def _chardev(name: str, fd: int) -> list[str]:
    return ["-chardev", f"socket,id={name},fd={fd},server=on,wait=off"]


def _drive(index: int, disk: Disk, files: dict[str, Path]) -> list[str]:
    node = f"disk{index}"
    if disk.kind == "image":
        backend = f"driver=null-co,node-name={node},size={disk.size},read-zeroes=on,read-only=on"
    else:
        readonly = "on" if disk.kind == "cloudinit" else "off"
        path = str(files[disk.name]).replace(",", ",,")
        backend = f"driver=raw,node-name={node},read-only={readonly},file.driver=file,file.filename={path}"
    return ["-blockdev", backend, "-device", f"virtio-blk-pci,drive={node},id=ua-{node},serial={disk.name[:20]}"]


def _nic(index: int, nic: Nic) -> list[str]:
    device = f"virtio-net-pci,netdev=net{index},id=nic{index},mac={nic.mac},{OFFLOADS_OFF},{ANNOUNCE_BY_QEMU},romfile="
    return ["-netdev", f"tap,id=net{index},ifname={nic.tap},script=no,downscript=no", "-device", device]


def _smp(domain: Domain, host: Host) -> str:
    """Processors of the guest.

    QEMU before 8.0 leaves memory barriers out when a TCG guest can only ever have one processor, although its I/O
    thread runs beside it, so that a virtqueue's kick can be lost.  Room for a second processor puts them back.
    """
    count = domain.cores * domain.sockets * domain.threads
    if count == 1 and host.accel.startswith("tcg"):
        return "1,maxcpus=2"
    return f"{count},sockets={domain.sockets},cores={domain.cores},threads={domain.threads}"


def qemu_argv(domain: Domain, host: Host, sockets: Sockets, files: dict[str, Path], *, incoming: bool) -> list[str]:
    """The command line; ``files`` maps names of cloudinit and scratch disks to paths.

    ``incoming`` waits for a migration stream instead of booting.
    """
    argv = ["qemu-system-x86_64", "-name", f"guest={domain.name},debug-threads=off", "-uuid", domain.uuid]
    for folder in host.data_dirs:
        argv += ["-L", folder]
    argv += ["-accel", host.accel, "-cpu", host.cpu, "-machine", "pc", "-nodefaults", "-no-user-config"]
    argv += ["-display", "none", "-m", f"size={domain.memory_mib}M"]
    argv += ["-smp", _smp(domain, host)]
    argv += ["-kernel", str(host.kernel), "-initrd", str(host.initrd), "-append", APPEND]
    argv += [*_chardev("monitor", sockets.monitor), "-mon", "chardev=monitor,mode=control"]
    if domain.serial:
        argv += [*_chardev("serial0", sockets.serial), "-serial", "chardev:serial0"]
    argv += ["-device", "virtio-serial-pci,id=virtio-serial0", *_chardev("channel0", sockets.agent)]
    argv += [
        "-device",
        "virtserialport,bus=virtio-serial0.0,nr=1,chardev=channel0,id=agent,name=org.qemu.guest_agent.0",
    ]
    for index, disk in enumerate(domain.disks):
        argv += _drive(index, disk, files)
    for index, nic in enumerate(domain.nics):
        argv += _nic(index, nic)
    return [*argv, *(["-incoming", "defer"] if incoming else [])]


def targets(disks: Sequence[Disk]) -> list[Obj]:
    """VMI.status.volumeStatus of the disks: all are virtio, so vda, vdb, ... in order."""
    found: list[Obj] = []
    for letter, disk in zip("abcdefghijklmnopqrstuvwxyz", disks, strict=False):
        entry: Obj = {"name": disk.name, "target": f"vd{letter}"}
        if disk.kind == "cloudinit" and disk.size:
            entry["size"] = disk.size
        found.append(entry)
    return found
