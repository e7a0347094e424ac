"""A target file, typed: what differs from one lab to the next. Data only; nobody here talks to a cluster.

Code reads names, NICs, VLANs, addresses and commands from here, and nothing else about a lab is known to code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lab.core.errors import UsageError
from lab.target.document import Section, read
from lab.target.hosts import OutsideHost as OutsideHost
from lab.target.hosts import program, read_host
from lab.target.nics import Nics, read_nics
from lab.target.segments import Segment as Segment
from lab.target.segments import read_segment, read_vlans

WORKERS = "node-role.kubernetes.io/worker="
POD_IMAGE = "quay.io/quay/busybox:latest"
LABELS = {
    "ovn": "app=ovnkube-node",
    "nmstate": "component=kubernetes-nmstate-handler",
    "kubevirt": "kubevirt.io=virt-handler",
}
"""What the pods of the platform's parts carry everywhere, upstream and on OpenShift."""


@dataclass(frozen=True)
class Cluster:
    """How the API is reached: a kubeconfig file, or a command that prints the path of one; a context ("": current).

    `proxy` is the URL of an HTTP proxy on the way; "" leaves it to the kubeconfig and the environment.
    """

    kubeconfig: Path | None
    kubeconfig_command: tuple[str, ...]
    context: str
    proxy: str = ""


@dataclass(frozen=True)
class LabCommands:
    """How the lab itself is started, ended and asked; each may be empty.

    `needs` has, by the need of a scenario, what makes the lab meet it; run when the first such scenario comes.
    `name_variable` is the environment variable by which the commands tell several labs apart; empty where there is one.
    """

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name_variable: str = ""


@dataclass(frozen=True)
class Component:
    """Where a platform component's pods are: namespace, label selector, and the containers by role.

    Without namespace the file does not say, and it is looked for (:mod:`lab.target.platform`).
    """

    namespace: str
    labels: str
    containers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Platform:
    """`type` is openshift, kubernetes or "" (not known yet); `ovn.containers` has the roles nb, sb, controller."""

    type: str
    ovn: Component
    nmstate: Component
    kubevirt: Component


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
    allow_drain: bool = False

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


def load(path: Path) -> Target:
    """Reads a target file. Raises UsageError with file, line, key, wanted and found."""
    top = read(path)
    mirrors = _mirrors(top.section("registry-mirrors"))
    target = Target(
        name=top.text("name", path.stem),
        source=path,
        cluster=_cluster(top.required_section("cluster"), path),
        lab=_lab(top.section("lab")),
        platform=_platform(top.section("platform")),
        node_selector=_nodes(top.section("nodes")),
        nics=read_nics(top.required_section("nics")),
        vlans=read_vlans(top),
        networks={name: read_segment(below, f"network {name}") for name, below in top.named("networks").items()},
        images={name: _image(name, below, mirrors) for name, below in top.named("images").items()},
        pod_image=_mirrored(top.text("pod-image", POD_IMAGE), mirrors),
        outside={name: read_host(name, below, path) for name, below in top.named("outside").items()},
        faults=program(top.texts("faults")),
        thresholds=_thresholds(top.section("thresholds")),
        allow_disruptive=top.flag("allow-disruptive"),
        allow_drain=top.flag("allow-drain"),
    )
    _check_outside(top, target)
    return target


def _cluster(section: Section, path: Path) -> Cluster:
    name = section.text("kubeconfig")
    command = program(section.texts("kubeconfig-command"))
    if name and command:
        raise section.complain("kubeconfig-command", "a file or a command", "both", "keep one of the two")
    proxy = section.text("proxy")
    if proxy and (urlsplit(proxy).scheme not in ("http", "https") or not urlsplit(proxy).hostname):
        raise section.complain("proxy", "a URL such as http://proxy:3128", repr(proxy))
    found = Path(os.path.expandvars(name)).expanduser() if name else None
    if found and not found.is_absolute():
        found = path.parent / found
    return Cluster(found, command, section.text("context"), proxy)


def _lab(section: Section | None) -> LabCommands:
    if section is None:
        return LabCommands()
    up, down, status = (program(section.texts(key)) for key in ("up", "down", "status"))
    below = section.section("needs")
    needs = {name: program(below.texts(name)) for name in below.keys()} if below else {}  # noqa: SIM118
    return LabCommands(up, down, status, needs, section.text("name-variable"))


def _platform(section: Section | None) -> Platform:
    found = {name: _component(section and section.section(name), labels) for name, labels in LABELS.items()}
    return Platform(section.text("type") if section else "", found["ovn"], found["nmstate"], found["kubevirt"])


def _component(section: Section | None, labels: str) -> Component:
    if section is None:
        return Component("", labels)
    below = section.section("containers")
    containers = {role: below.text(role) for role in below.keys()} if below else {}  # noqa: SIM118
    return Component(section.text("namespace"), section.text("labels", labels), containers)


def _nodes(section: Section | None) -> str:
    return section.text("selector", WORKERS) if section else WORKERS


def _mirrors(section: Section | None) -> dict[str, str]:
    return {name: section.text(name).rstrip("/") for name in section.keys()} if section else {}  # noqa: SIM118


def _mirrored(image: str, mirrors: Mapping[str, str]) -> str:
    """The reference with the longest prefix that has a mirror replaced, at a slash."""
    for prefix in sorted(mirrors, key=len, reverse=True):
        if image.startswith(f"{prefix.rstrip('/')}/"):
            return mirrors[prefix] + image.removeprefix(prefix.rstrip("/"))
    return image


def _image(name: str, section: Section, mirrors: Mapping[str, str]) -> Image:
    return Image(
        name=name,
        image=_mirrored(section.text("image"), mirrors),
        user=section.text("user"),
        password=section.text("password"),
        memory_mib=section.number("memory-mib", 1024),
        boot_s=section.number("boot-s", 300),
    )


def _thresholds(section: Section | None) -> Thresholds:
    if section is None:
        return Thresholds(1000, 5, 0, 1000)
    return Thresholds(
        section.number("migration-gap-ms", 1000),
        section.number("ping-count", 5),
        section.number("ping-loss-percent", 0),
        section.number("failover-gap-ms", 1000),
    )


def _check_outside(top: Section, target: Target) -> None:
    for segment in target.segments:
        if segment.outside and segment.outside not in target.outside:
            have = ", ".join(sorted(target.outside)) or "none"
            key = "vlans" if segment.vlan else "networks"
            raise top.complain(key, f"an outside host named {segment.outside!r} for {segment}", f"there is {have}")
