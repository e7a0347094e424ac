"""A target file, typed: what differs from one lab to the next. Data only; nobody here talks to a cluster.

Code reads names, NICs, VLANs, addresses and commands from here, and nothing else about a lab is known to code.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.core.errors import UsageError
from lab.target.document import Section, read
from lab.target.nics import Nics, read_nics


@dataclass(frozen=True)
class Cluster:
    """How the API is reached: a kubeconfig file, or a command that prints the path of one; a context ("": current)."""

    kubeconfig: Path | None
    kubeconfig_command: tuple[str, ...]
    context: str


@dataclass(frozen=True)
class LabCommands:
    """How the lab itself is started, ended and asked; each may be empty.

    `needs` has, by the need of a scenario, what makes the lab meet it; run when the first such scenario comes.
    """

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """Where a platform component's pods are: namespace, label selector, and the containers by role."""

    namespace: str
    labels: str
    containers: dict[str, str]


@dataclass(frozen=True)
class Platform:
    """`ovn.containers` has the roles nb, sb, controller."""

    ovn: Component
    nmstate: Component
    kubevirt: Component


@dataclass(frozen=True)
class Segment:
    """A layer 2 network that guests are put on: a VLAN, or an untagged network (`vlan` 0) that the target names.

    `gateway` answers pings; `pool` is first and last address free for guests of a run; `outside` names the outside
    host in it ("" none).
    """

    name: str
    gateway: str
    subnet: str
    pool: tuple[str, str]
    outside: str = ""
    vlan: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def prefix(self) -> int:
        return ipaddress.ip_network(self.subnet).prefixlen

    def address(self, index: int) -> str:
        """The index-th address of the pool (0 is the first). Raises UsageError past its end."""
        first, last = (ipaddress.ip_address(a) for a in self.pool)
        found = first + index
        if index < 0 or int(found) > int(last):
            raise UsageError(f"address {index + 1} of {self}'s pool", f"it has {int(last) - int(first) + 1}")
        return str(found)

    def with_prefix(self, index: int) -> str:
        """The same as `address/prefix`."""
        return f"{self.address(index)}/{self.prefix}"


@dataclass(frozen=True)
class Image:
    """A guest image: containerDisk, the login that a run's cloud-init makes in it, MiB of memory, seconds to boot."""

    name: str
    image: str
    user: str
    password: str
    memory_mib: int
    boot_s: int


@dataclass(frozen=True)
class OutsideHost:
    """A host beside the cluster. `exec` is a command prefix; `connect` an argv with {host} and {port} whose stdin and
    stdout are a TCP stream from there; either may be empty."""

    name: str
    exec: tuple[str, ...]
    connect: tuple[str, ...]


@dataclass(frozen=True)
class Thresholds:
    """What a scenario takes as good enough: longest silence over a migration, ms; pings of one check; their loss, %;
    longest silence when a bond loses a NIC, ms, beyond the time in which LACP notices it."""

    migration_gap_ms: int
    ping_count: int
    ping_loss_percent: int
    failover_gap_ms: int


@dataclass(frozen=True)
class Target:
    """One lab. `source` is its file."""

    name: str
    source: Path
    cluster: Cluster
    lab: LabCommands
    platform: Platform
    node_selector: str
    nics: Nics
    vlans: dict[int, Segment]
    networks: dict[str, Segment]
    images: dict[str, Image]
    pod_image: str
    outside: dict[str, OutsideHost]
    faults: tuple[str, ...]
    thresholds: Thresholds
    allow_disruptive: bool

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Every VLAN and network."""
        return (*self.vlans.values(), *self.networks.values())

    def network(self, name: str) -> Segment:
        """Raises UsageError naming the networks that the file has."""
        if name not in self.networks:
            have = ", ".join(sorted(self.networks)) or "none"
            raise UsageError(
                f"the network {name!r}", f"the target has {have}", str(self.source), "add it to `networks`"
            )
        return self.networks[name]

    def vlan(self, number: int) -> Segment:
        """Raises UsageError naming the VLANs that the file has."""
        if number not in self.vlans:
            have = ", ".join(str(n) for n in sorted(self.vlans)) or "none"
            raise UsageError(f"VLAN {number}", f"the target has {have}", str(self.source), "add it under `vlans`")
        return self.vlans[number]

    def image(self, name: str = "default") -> Image:
        if name not in self.images:
            have = ", ".join(sorted(self.images)) or "none"
            raise UsageError(f"the image {name!r}", f"the target has {have}", str(self.source), "add it under `images`")
        return self.images[name]

    def outside_host(self, name: str) -> OutsideHost:
        if name not in self.outside:
            have = ", ".join(sorted(self.outside)) or "none"
            raise UsageError(f"the outside host {name!r}", f"the target has {have}", str(self.source), "add it there")
        return self.outside[name]

    def with_kubeconfig(self, path: Path) -> Target:
        """The same target with the kubeconfig settled."""
        return replace(self, cluster=replace(self.cluster, kubeconfig=path))


def load(path: Path) -> Target:
    """Reads a target file. Raises UsageError with file, line, key, wanted and found."""
    top = read(path)
    target = Target(
        name=top.text("name", path.stem),
        source=path,
        cluster=_cluster(top.required_section("cluster"), path),
        lab=_lab(top.section("lab")),
        platform=_platform(top.required_section("platform")),
        node_selector=_nodes(top.required_section("nodes")),
        nics=read_nics(top.required_section("nics")),
        vlans=_vlans(top),
        networks={name: _segment(below, f"network {name}") for name, below in top.named("networks").items()},
        images={name: _image(name, below) for name, below in top.named("images").items()},
        pod_image=top.text("pod-image", "quay.io/quay/busybox:latest"),
        outside={name: _outside(name, below) for name, below in top.named("outside").items()},
        faults=_program(top.argv("faults")),
        thresholds=_thresholds(top.section("thresholds")),
        allow_disruptive=top.flag("allow-disruptive", False),
    )
    _check_outside(top, target)
    top.end()
    return target


def _program(argv: tuple[str, ...]) -> tuple[str, ...]:
    """`virtlab` and `python` mean the ones of this very installation when they are not on PATH."""
    if argv and argv[0] in ("virtlab", "python") and not shutil.which(argv[0]):
        return (str(Path(sys.executable).parent / argv[0]), *argv[1:])
    return argv


def _cluster(section: Section, path: Path) -> Cluster:
    name = section.text("kubeconfig", "")
    command = _program(section.argv("kubeconfig-command"))
    context = section.text("context", "")
    if name and command:
        raise section.complain("kubeconfig-command", "a file or a command", "both", "keep one of the two")
    section.end()
    found = Path(os.path.expandvars(name)).expanduser() if name else None
    if found and not found.is_absolute():
        found = path.parent / found
    return Cluster(found, command, context)


def _lab(section: Section | None) -> LabCommands:
    if section is None:
        return LabCommands()
    up, down, status = (_program(section.argv(key)) for key in ("up", "down", "status"))
    below = section.section("needs")
    needs = {name: _program(below.argv(name)) for name in below.keys()} if below else {}  # noqa: SIM118
    section.end()
    return LabCommands(up, down, status, needs)


def _platform(section: Section) -> Platform:
    ovn, nmstate, kubevirt = (_component(section.required_section(key)) for key in ("ovn", "nmstate", "kubevirt"))
    section.end()
    for role in ("nb", "sb", "controller"):
        if role not in ovn.containers:
            raise section.complain("ovn", f"containers.{role}", f"roles {sorted(ovn.containers)}", "name the container")
    return Platform(ovn, nmstate, kubevirt)


def _component(section: Section) -> Component:
    containers = section.section("containers")
    names = {role: containers.text(role) for role in containers.keys()} if containers else {}  # noqa: SIM118
    found = Component(section.text("namespace"), section.text("labels", ""), names)
    section.end()
    return found


def _nodes(section: Section) -> str:
    selector = section.text("selector")
    section.end()
    return selector


def _vlans(top: Section) -> dict[int, Segment]:
    found: dict[int, Segment] = {}
    for section in top.sections("vlans"):
        number = section.number("id", low=1, high=4094)
        if number in found:
            raise section.complain("id", "each VLAN once", f"{number} is there twice")
        found[number] = _segment(section, f"VLAN {number}", number)
    return found


def _segment(section: Section, name: str, vlan: int = 0) -> Segment:
    gateway = section.address("gateway")
    subnet = section.parsed("subnet", "a network such as 192.168.24.0/24", ipaddress.ip_network)
    first, last = section.parsed("pool", "first-last, such as 192.168.24.20-192.168.24.99", _pool)
    for address, key in ((gateway, "gateway"), (first, "pool"), (last, "pool")):
        if ipaddress.ip_address(address) not in subnet:
            raise section.complain(key, f"an address in {subnet}", address)
    low, middle, high = (int(ipaddress.ip_address(a)) for a in (first, gateway, last))
    if low <= middle <= high:
        raise section.complain("pool", f"a pool without the gateway {gateway}", f"{first}-{last}")
    outside = section.text("outside", "")
    section.end()
    return Segment(name, gateway, str(subnet), (first, last), outside, vlan)


def _pool(text: str) -> tuple[str, str]:
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash:
        raise ValueError("there is no dash")
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if low.version != high.version or int(low) > int(high):
        raise ValueError("the first is above the last")
    return str(low), str(high)


def _image(name: str, section: Section) -> Image:
    found = Image(
        name=name,
        image=section.text("image"),
        user=section.text("user"),
        password=section.text("password"),
        memory_mib=section.number("memory-mib", 1024, low=64),
        boot_s=section.number("boot-s", 300, low=1),
    )
    section.end()
    return found


def _outside(name: str, section: Section) -> OutsideHost:
    run = _program(section.argv("exec"))
    connect = _program(section.argv("connect"))
    if connect and not all(any(mark in word for word in connect) for mark in ("{host}", "{port}")):
        raise section.complain("connect", "a command with the words {host} and {port}", " ".join(connect))
    section.end()
    return OutsideHost(name, run, connect)


def _thresholds(section: Section | None) -> Thresholds:
    if section is None:
        return Thresholds(1000, 5, 0, 1000)
    found = Thresholds(
        section.number("migration-gap-ms", 1000, low=1),
        section.number("ping-count", 5, low=1, high=1000),
        section.number("ping-loss-percent", 0, low=0, high=100),
        section.number("failover-gap-ms", 1000, low=1),
    )
    section.end()
    return found


def _check_outside(top: Section, target: Target) -> None:
    for segment in target.segments:
        if segment.outside and segment.outside not in target.outside:
            have = ", ".join(sorted(target.outside)) or "none"
            key = "vlans" if segment.vlan else "networks"
            raise top.complain(key, f"an outside host named {segment.outside!r} for {segment}", f"there is {have}")
