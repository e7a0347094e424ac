"""Build the lab's guest: a distribution kernel and an initramfs of busybox, dropbear and the real QEMU guest agent.

Everything the guest runs at boot is a literal file under `guest/`; this room only packs them. It must not know VMs,
nodes or networks: what a guest is told comes from its cloud-init disk.
"""

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.errors import ToolError
from lab.embedded.host import elf
from lab.embedded.host.packages import run_bytes
from lab.embedded.host.tools import Tools
from lab.embedded.images import cpio, modules

_FORMAT = 1
_GUEST = Path(__file__).parent / "guest"
_LIBRARY = "usr/lib/virtlab"
_SUDO_GROUP = 990
_MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "isofs", "virtio_console", "button", "evdev")
_EMPTY_FOLDERS = (
    "proc",
    "sys",
    "dev",
    "run/cidata",
    "run/virtlab",
    "mnt",
    "home",
    "var/log",
    "var/lib/cloud",
    "etc/dropbear",
)
_WHERE = {
    "init": ("init", 0o755),
    "inittab": ("etc/inittab", 0o644),
    "fstab": ("etc/fstab", 0o644),
    "passwd": ("etc/passwd", 0o644),
    "group": ("etc/group", 0o644),
    "shadow": ("etc/shadow", 0o600),
    "os-release": ("etc/os-release", 0o644),
    "profile": ("etc/profile", 0o644),
    "issue": ("etc/issue", 0o644),
    "shells": ("etc/shells", 0o644),
    "power": ("etc/acpi/PWRF/00000080", 0o755),
    "sudo": (f"{_LIBRARY}/sudo", 0o755),
    "shutdown": ("sbin/shutdown", 0o755),
    "bash": ("bin/bash", 0o755),
    "cloud-init": ("usr/bin/cloud-init", 0o755),
    "late": (f"{_LIBRARY}/late", 0o755),
    "agent": (f"{_LIBRARY}/agent", 0o755),
    "button": (f"{_LIBRARY}/button", 0o755),
    "dhcp": (f"{_LIBRARY}/dhcp", 0o755),
    "cloudinit.sh": (f"{_LIBRARY}/cloudinit.sh", 0o644),
    "cloudinit.awk": (f"{_LIBRARY}/cloudinit.awk", 0o644),
    "network.awk": (f"{_LIBRARY}/network.awk", 0o644),
    "yaml.awk": (f"{_LIBRARY}/yaml.awk", 0o644),
}


@dataclass(frozen=True)
class GuestImage:
    """What QEMU boots. `digest` is that of all inputs: equal digests are equal guests."""

    kernel: Path
    initrd: Path
    digest: str


def build_guest(tools: Tools, cache: Path, *, progress: Callable[[str], None]) -> GuestImage:
    """The guest image, built once per set of inputs into `cache`. Raises ToolError when a part is missing."""
    binaries = {name: tools.path(name) for name in ("busybox", "dropbear", "dropbearkey", "qemu-ga")}
    digest = _digest(tools, binaries)
    initrd = cache / f"guest-{digest}.cpio"
    if not initrd.exists():
        progress("guest: packing kernel modules, busybox, dropbear and the guest agent")
        cache.mkdir(parents=True, exist_ok=True)
        _write(initrd, cpio.archive(_entries(tools, binaries)))
        for old in cache.glob("guest-*.cpio"):
            if old != initrd and old.stat().st_mtime < initrd.stat().st_mtime - 86400:
                old.unlink(missing_ok=True)
    return GuestImage(tools.kernel, initrd, digest)


def _digest(tools: Tools, binaries: dict[str, Path]) -> str:
    """Own files count by content, tools (which packages do not change in place) by name, size and time."""
    own = [path for path in sorted([*_GUEST.iterdir(), *Path(__file__).parent.glob("*.py")]) if path.is_file()]
    facts = [_FORMAT, str(tools.modules), [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in own]]
    facts += [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in (*binaries.values(), tools.kernel)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _write(path: Path, data: bytes) -> None:
    # Renamed into place: a build that is killed, or two at once, never leave half a file under the final name.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".guest-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)


def _entries(tools: Tools, binaries: dict[str, Path]) -> Iterator[cpio.Entry]:
    release = tools.modules.name
    yield from (cpio.folder(name) for name in _EMPTY_FOLDERS)
    yield cpio.folder("root", 0o700)
    yield cpio.folder("tmp", 0o1777)
    yield cpio.link("var/run", "/run")
    yield cpio.file("etc/resolv.conf", b"")
    yield cpio.link("etc/mtab", "/proc/self/mounts")
    yield cpio.character_device("dev/console", 5, 1)
    yield cpio.character_device("dev/null", 1, 3, 0o666)
    for name, (target, mode) in _WHERE.items():
        yield cpio.file(target, (_GUEST / name).read_bytes(), mode)
    yield from _busybox(binaries["busybox"], {target for target, _ in _WHERE.values()})
    for name, target in (("dropbear", "usr/sbin"), ("dropbearkey", "usr/bin"), ("qemu-ga", "usr/sbin")):
        yield cpio.file(f"{target}/{name}", binaries[name].read_bytes(), 0o755)
    yield from _libraries(tools, [binaries["dropbear"], binaries["dropbearkey"], binaries["qemu-ga"]])
    yield cpio.file("usr/bin/sudo", setuid_stub(f"/{_LIBRARY}/sudo"), 0o4750, gid=_SUDO_GROUP)
    kernel_modules = modules.collect(tools.modules, _MODULES)
    for name, data in kernel_modules.items():
        yield cpio.file(f"lib/modules/{release}/{name}.ko", data)
    yield cpio.file(f"lib/modules/{release}/modules.dep", modules.index(kernel_modules).encode())


def _busybox(binary: Path, taken: set[str]) -> Iterator[cpio.Entry]:
    # Set-uid so that ping and su work for users; busybox gives the privilege up for every other applet.
    yield cpio.file("bin/busybox", binary.read_bytes(), 0o4755)
    for name in run_bytes([str(binary), "--list-full"]).decode().split():
        if name not in taken and name not in ("bin/busybox", "linuxrc") and name != "sbin/shutdown":
            yield cpio.link(name, "/bin/busybox")


def _libraries(tools: Tools, programs: list[Path]) -> Iterator[cpio.Entry]:
    try:
        found = elf.libraries(programs, tools.lib_folders)
    except (FileNotFoundError, elf.NotElf) as error:
        raise ToolError(
            "dropbear and qemu-ga with their shared libraries",
            str(error),
            advice="remove the cache folder and start again",
        ) from error
    for name, path in found.items():
        target = name.lstrip("/") if name.startswith("/") else f"lib/x86_64-linux-gnu/{name}"
        yield cpio.file(target, path.read_bytes(), 0o755)


def setuid_stub(script: str) -> bytes:
    """A static ELF program that becomes root for good and runs `script` with its own arguments and environment.

    Linux ignores the set-uid bit of scripts, and busybox has no applet that runs a command as root without asking for
    root's password; who may run the file is decided by its group."""
    code = (
        b"\x31\xff\xb8\x6a\x00\x00\x00\x0f\x05"  # setgid(0)
        b"\x31\xff\x31\xf6\xb8\x74\x00\x00\x00\x0f\x05"  # setgroups(0, NULL)
        b"\x31\xff\xb8\x69\x00\x00\x00\x0f\x05"  # setuid(0)
        b"\x48\x8b\x0c\x24"  # rcx = argc
        b"\x48\x8d\x74\x24\x08"  # rsi = argv
        b"\x48\x8d\x54\xcc\x10"  # rdx = envp = rsp + 8 * argc + 16
        b"\x48\x8d\x3d\x00\x00\x00\x00"  # rdi = path, filled in below: it stands behind the code
        b"\xb8\x3b\x00\x00\x00\x0f\x05"  # execve(path, argv, envp)
        b"\xbf\x7e\x00\x00\x00"  # exit(126): only when execve failed
        b"\xb8\x3c\x00\x00\x00\x0f\x05"
    )
    at = code.index(b"\x48\x8d\x3d") + 7
    distance = len(code) - at
    code = code[: at - 4] + struct.pack("<i", distance) + code[at:] + script.encode() + b"\0"
    base, header = 0x400000, 64 + 56
    size = header + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return (
        ident
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + header, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
        + code
    )
