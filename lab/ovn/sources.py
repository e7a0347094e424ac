"""Files, folders and archives as streams of bytes, one after the other. Nothing is written, nothing is followed out.

Archives are read as they stream: a member with a path that leads out, a link or a device is passed over, and one that
unpacks to far more than it is (a bomb) is refused.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from lab.core.errors import UsageError
from lab.ovn.lines import printable

MEMBERS = 200_000
UNPACKED = 8 << 30
RATIO = 200
"""Text of routes packs about 30 : 1; a bomb 1000 : 1."""
FREE = 64 << 20
"""Bytes an archive may unpack to whatever its ratio."""
STDIN_LIMIT = 256 << 20
Note = Callable[[str, str], None]


class Bomb(Exception):
    """An archive unpacks to more than it may."""


UNPACKING = (Bomb, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, RuntimeError)
"""What reading a stream of an archive can raise besides what reading a file can."""


@dataclass(frozen=True)
class Source:
    """A stream and what to call it. `given`: named on the command line, not found in a folder or archive."""

    name: str
    stream: BinaryIO
    given: bool = False


class _Counted(io.RawIOBase):
    """A stream that stops a bomb."""

    def __init__(self, stream: BinaryIO, packed: int) -> None:
        self._stream = stream
        self._limit = min(UNPACKED, max(FREE, RATIO * packed))
        self._count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if size >= 0 else self._limit - self._count + 1)
        self._count += len(data)
        if self._count > self._limit:
            raise Bomb(f"unpacks to more than {self._limit >> 20} MiB")
        return data


def broken_off(error: BaseException) -> str:
    """What to say of a stream that cannot be read on."""
    return f"not read to its end: {printable(str(error)) or type(error).__name__}"


def sources(paths: list[str], note: Note) -> Iterator[Source]:
    """Every stream behind the paths, in a fixed order. Raises UsageError for a path that is not there."""
    for given in paths:
        if given == "-":
            yield Source("stdin", io.BytesIO(_stdin()), given=True)
            continue
        path = Path(given)
        try:
            if path.is_dir():
                yield from _folder(path, note)
            else:
                yield from _file(path, printable(given), note, given=True)
        except OSError as error:
            advice = "a file, a folder or an archive with output of ovn-nbctl lr-route-list"
            raise UsageError("input that can be read", str(error), printable(given), advice) from error


_TYPED: list[bytes] = []


def _stdin() -> bytes:
    if not _TYPED:
        data = sys.stdin.buffer.read(STDIN_LIMIT + 1)
        if len(data) > STDIN_LIMIT:
            raise UsageError(f"at most {STDIN_LIMIT >> 20} MiB from stdin", "more", "stdin", "give the path of a file")
        _TYPED.append(data)
    return _TYPED[0]


def _folder(root: Path, note: Note) -> Iterator[Source]:
    count = 0
    inside = root.resolve()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            count += 1
            if count > MEMBERS:
                note(printable(str(root)), f"more than {MEMBERS} files: the rest is not read")
                return
            if not path.resolve().is_relative_to(inside):
                note(printable(str(path)), "a link out of the folder: not followed")
            elif path.is_file():
                try:
                    yield from _file(path, printable(str(path)), note)
                except OSError as error:
                    note(printable(str(path)), f"not read: {error}")


def _file(path: Path, name: str, note: Note, *, given: bool = False) -> Iterator[Source]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    with path.open("rb") as stream:
        head = stream.read(512)
        stream.seek(0)
        try:
            yield from _opened(stream, head, name, path.stat().st_size, given, note)
        except UNPACKING as error:
            note(name, broken_off(error))


def _opened(stream: BinaryIO, head: bytes, name: str, size: int, given: bool, note: Note) -> Iterator[Source]:
    packers: dict[bytes, Callable[[BinaryIO], object]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ\x00": lzma.open,
    }
    opener = next((o for magic, o in packers.items() if head.startswith(magic)), None)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip(stream, name, note)
    elif opener is not None:
        plain = cast(BinaryIO, _Counted(cast(BinaryIO, opener(stream)), size))
        buffered = io.BufferedReader(cast(io.RawIOBase, _Readable(plain)), 1 << 16)
        if _is_tar(buffered.peek(512)):
            yield from _tar(cast(BinaryIO, buffered), name, note)
        else:
            yield Source(name, cast(BinaryIO, buffered), given)
    elif _is_tar(head):
        yield from _tar(stream, name, note)
    else:
        yield Source(name, stream, given)


class _Readable(io.RawIOBase):
    """What io.BufferedReader asks of a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or ":" in name[1:2]


def _tar(stream: BinaryIO, name: str, note: Note) -> Iterator[Source]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            where = f"{name}:{printable(member.name)}"
            if count >= MEMBERS:
                note(name, f"more than {MEMBERS} members: the rest is not read")
                return
            if _leads_out(member.name):
                note(where, "a path that leads out of the archive: not read")
            elif member.isreg():
                inner = archive.extractfile(member)
                if inner is not None:
                    yield Source(where, cast(BinaryIO, inner))
            elif not member.isdir():
                note(where, "a link or a device: not followed")


def _zip(stream: BinaryIO, name: str, note: Note) -> Iterator[Source]:
    with zipfile.ZipFile(stream) as archive:
        for count, member in enumerate(archive.infolist()):
            where = f"{name}:{printable(member.filename)}"
            if count >= MEMBERS:
                note(name, f"more than {MEMBERS} members: the rest is not read")
                return
            if member.is_dir():
                continue
            if _leads_out(member.filename):
                note(where, "a path that leads out of the archive: not read")
            elif stat.S_ISLNK(member.external_attr >> 16):
                note(where, "a link: not followed")
            elif member.flag_bits & 1:
                note(where, "encrypted: not read")
            else:
                with archive.open(member) as inner:
                    counted = _Counted(cast(BinaryIO, inner), member.compress_size)
                    yield Source(where, cast(BinaryIO, counted))
