"""Write the archive format Linux unpacks at boot (newc cpio), without being root and without device files on disk.

Owners, modes and devices are entries of the archive only; equal input gives equal bytes.
Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file of the archive. `mode` has the type bits as stat has them; `data` is content or link target."""

    name: str
    mode: int
    data: bytes = b""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes, mode: int = 0o644, *, gid: int = 0) -> Entry:
    return Entry(name, stat.S_IFREG | mode, data, gid=gid)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    return Entry(name, stat.S_IFCHR | mode, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive; folders come before what is in them, made up with mode 755 where not given.

    Raises ValueError for a name given twice, an absolute name, or one with `..`."""
    known: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.name.split("/")
        if entry.name in known or not all(part and part not in (".", "..") for part in parts):
            raise ValueError(f"wanted each name once and relative, found {entry.name!r}")
        known[entry.name] = entry
    for name in list(known):
        parts = name.split("/")
        for depth in range(1, len(parts)):
            known.setdefault("/".join(parts[:depth]), folder("/".join(parts[:depth])))
    out = bytearray()
    for inode, name in enumerate(sorted(known), start=1):
        _append(out, known[name], inode)
    _append(out, Entry("TRAILER!!!", 0), 0)
    return bytes(out)


def _append(out: bytearray, entry: Entry, inode: int) -> None:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, entry.uid, entry.gid, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out += bytes(-len(out) % 4)
    out += entry.data
    out += bytes(-len(out) % 4)
