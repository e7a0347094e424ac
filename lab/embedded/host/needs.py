"""Which programs the lab is made of, the packages that have them, and when one already on the host is good enough.

A table and its judgement; looking, fetching and remembering are `tools`.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.host import elf
from lab.embedded.host.packages import run


@dataclass(frozen=True)
class Need:
    """A program, the package that has it, and what makes one already present good enough."""

    program: str
    package: str
    oldest: tuple[int, ...] = ()
    says: str = ""
    static: bool = False
    version_flag: str = "--version"


CORE = (
    Need("ovs-vswitchd", "openvswitch-switch", (2, 17)),
    Need("ovsdb-server", "openvswitch-switch", (2, 17)),
    Need("ovsdb-tool", "openvswitch-switch"),
    Need("ovs-vsctl", "openvswitch-switch"),
    Need("ovs-appctl", "openvswitch-switch"),
    Need("ovs-ofctl", "openvswitch-switch"),
    Need("ovn-northd", "ovn-central", (22, 3)),
    Need("ovn-nbctl", "ovn-central"),
    Need("ovn-sbctl", "ovn-central"),
    Need("ovn-controller", "ovn-host", (22, 3)),
    Need("qemu-system-x86_64", "qemu-system-x86", (6, 0)),
    Need("busybox", "busybox-static", (1, 30), static=True, version_flag=""),
    Need("dropbear", "dropbear-bin", (2020,), version_flag="-V"),
    Need("qemu-ga", "qemu-guest-agent"),
    Need("dnsmasq", "dnsmasq-base"),
    Need("tcpdump", "tcpdump"),
    Need("nft", "nftables"),
    Need("ethtool", "ethtool"),
    Need("ping", "iputils-ping", says="iputils", version_flag="-V"),
    # Another program of that name exists (Habets'), whose options differ.
    Need("arping", "iputils-arping", says="iputils", version_flag="-V"),
    # Some distributions pack kernel modules with it.
    Need("zstd", "zstd"),
    Need("ip", "iproute2"),
    Need("unshare", "util-linux"),
    Need("nsenter", "util-linux"),
)
GROUPS: Mapping[str, Sequence[Need]] = {
    "core": CORE,
    "networkmanager": (
        Need("NetworkManager", "network-manager"),
        Need("nmcli", "network-manager"),
        Need("nm-online", "network-manager"),
        Need("dbus-daemon", "dbus-daemon"),
    ),
}


def misfit(need: Need, program: Path, env: Mapping[str, str] | None = None) -> str:
    """Why a program found on the host will not do; empty when it will."""
    if need.static:
        try:
            if not elf.read(program).static:
                return f"{program} is not statically linked"
        except (elf.NotElf, OSError) as error:
            return str(error)
    if not (need.oldest or need.says):
        return ""
    said = version_text(need, program, env)
    if need.says and need.says not in said:
        return f"{program} is not {need.says}'s"
    if need.oldest and (number(said) or (0,)) < need.oldest:
        oldest = ".".join(map(str, need.oldest))
        return f"{program} is {'.'.join(map(str, number(said))) or 'of unknown version'}, older than {oldest}"
    return ""


def version_text(need: Need, program: Path, env: Mapping[str, str] | None = None) -> str:
    try:
        argv = [str(program), *([need.version_flag] if need.version_flag else [])]
        done = run(argv, timeout=20, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).split("\n\n")[0]


def number(text: str) -> tuple[int, ...]:
    match = re.search(r"(?<![\d.])(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
