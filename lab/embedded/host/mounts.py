"""Mounts in the caller's own mount namespace: fresh filesystems, folders of its own, binds.

Everything here works without root inside a user namespace, and nothing is written to what lies below a mount: that is
how a node has files of its own while its disk is the host's.  It must not know what a mount is for.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME = 1, 2, 4, 8, 1024, 2048
MS_REMOUNT, MS_BIND, MS_REC, MS_UNBINDABLE, MS_RELATIME = 32, 4096, 16384, 1 << 17, 1 << 21
MNT_DETACH = 2
_KEPT = {
    os.ST_NOSUID: MS_NOSUID, os.ST_NODEV: MS_NODEV, os.ST_NOEXEC: MS_NOEXEC, os.ST_NOATIME: MS_NOATIME,
    os.ST_NODIRATIME: MS_NODIRATIME, os.ST_RELATIME: MS_RELATIME,
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def mount(kind: str, target: str, flags: int = MS_NOSUID | MS_NODEV, options: str = "") -> None:
    """Mount a fresh filesystem of ``kind`` (tmpfs, proc, sysfs) on ``target``. Raises OSError."""
    _mount(kind, target, kind, flags, options)


def own_folder(path: Path, scratch: Path, keep: Sequence[Path] = ()) -> None:
    """Put an empty folder at ``path``, whether or not the host has one there. Raises OSError.

    A host without it gets an overlay over the folder above, since nothing can be made on its disk; ``scratch`` is
    where the overlay keeps what it must, on a tmpfs. What else is mounted there, and the folders ``keep``, which the
    host must see written, stay as they were.
    """
    if not path.is_dir():
        _overlay(path.parent, scratch, keep)
        path.mkdir()
    mount("tmpfs", str(path), options="mode=755")


def _overlay(path: Path, scratch: Path, keep: Sequence[Path]) -> None:
    kept = outermost(place for place in (*mount_points(), *keep) if path in place.parents and place.exists())
    aside = [(place, scratch / f"kept-{number}") for number, place in enumerate(kept)]
    for folder in (scratch / "upper", scratch / "work"):
        folder.mkdir(parents=True)
    for place, here in aside:
        if place.is_dir():
            here.mkdir()
        else:
            here.touch()
        bind(place, here)
    options = f"lowerdir={path},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
    _mount("overlay", str(path), "overlay", 0, options)
    for place, here in aside:
        bind(here, place)
        detach(here)


def mount_points(mountinfo: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """Where anything is mounted in this mount namespace (proc(5): blanks and backslashes are octal there)."""
    fields = (line.split()[4] for line in mountinfo.read_text().splitlines())
    return [Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)) for field in fields]


def outermost(places: Iterable[Path]) -> list[Path]:
    """Those that lie in no other of them, each once."""
    found: list[Path] = []
    for place in sorted(set(places)):
        if not found or found[-1] not in place.parents:
            found.append(place)
    return found


def bind(source: Path, target: Path) -> None:
    """Show ``source``, with all that is mounted below it, at ``target`` too. Raises OSError."""
    _mount(str(source), str(target), None, MS_BIND | MS_REC)


def make_read_only(target: Path) -> None:
    """Let nobody write through the mount at ``target``; others of the same filesystem stay. Raises OSError."""
    # Flags that came from a more privileged mount namespace are locked: a remount must repeat them.
    found = os.statvfs(target).f_flag
    kept = sum(flag for seen, flag in _KEPT.items() if found & seen)
    _mount("none", str(target), None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def unbindable(target: Path) -> None:
    """Leave the mount at ``target`` out of what `bind` shows elsewhere. Raises OSError."""
    _mount("none", str(target), None, MS_UNBINDABLE)


def detach(target: Path) -> None:
    """Take away the mount at ``target`` and all below it; who uses it may finish. Raises OSError."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unmount {target}: {os.strerror(number)}")
