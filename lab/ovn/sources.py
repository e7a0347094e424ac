"""Files, folders and archives as streams of bytes, one after the other. Nothing is written, nothing is followed out.

Archives are read as they stream, archives within archives too: a member with a path that leads out, a link or a device
is passed over, and one that unpacks to far more than it is (a bomb) is refused. Logs of a must-gather are not read.
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
from typing import IO, BinaryIO, cast

from lab.core.errors import UsageError
from lab.ovn.lines import printable

MEMBERS = 200_000
UNPACKED = 64 << 30
RATIO = 200
"""Text of routes packs about 30 : 1; a bomb 1000 : 1."""
FREE = 64 << 20
"""Bytes an archive may unpack to whatever its ratio, and the size up to which a zip within an archive is read."""
DEPTH = 8
"""Layers, a tar and its compression being two; the databases of a packed must-gather lie four deep."""
STDIN_LIMIT = 256 << 20
LOGS = frozenset({"logs", "host_service_logs", "audit_logs"})
"""Folders of a must-gather whose ``*.log`` files hold gigabytes and no routes."""
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


class _Budget:
    """What one file may unpack to, by how much of it was read so far: a bomb shows at its first 64 MiB."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed = packed
        self._used = 0

    def take(self, size: int) -> None:
        """Raises Bomb."""
        self._used += size
        if self._used <= FREE:
            return
        limit = min(UNPACKED, max(FREE, RATIO * self._packed.tell()))
        if self._used > limit:
            raise Bomb(f"unpacks to more than {limit >> 20} MiB where {self._packed.tell() >> 10} KiB were read")


class _Counted(io.RawIOBase):
    """A stream that counts what it unpacks against what its whole file may."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._budget.take(len(data))
        buffer[: len(data)] = data
        return len(data)


def broken_off(error: BaseException) -> str:
    """What to say of a stream that cannot be read on."""
    return f"not read to its end: {printable(str(error)) or type(error).__name__}"


def sources(paths: list[str], note: Note) -> Iterator[Source]:
    """Every stream behind the paths, in a fixed order. Raises UsageError for a path that is not there."""
    for given in paths:
        path = Path(given)
        name = "stdin" if given == "-" else printable(given)
        try:
            if given == "-" or path.is_fifo():
                yield from _typed(given, name, note)
            elif path.is_dir():
                yield from _folder(path, note)
            else:
                yield from _file(path, name, note, given=True)
        except OSError as error:
            advice = "a file, a folder or an archive with output of ovn-nbctl lr-route-list"
            raise UsageError("input that can be read", str(error), name, advice) from error


_TYPED: dict[str, bytes] = {}
"""What came through pipes: it comes once and is read twice."""


def _typed(given: str, name: str, note: Note) -> Iterator[Source]:
    if given not in _TYPED:
        with sys.stdin.buffer if given == "-" else Path(given).open("rb") as pipe:
            data = pipe.read(STDIN_LIMIT + 1)
        if len(data) > STDIN_LIMIT:
            raise UsageError(f"at most {STDIN_LIMIT >> 20} MiB from {name}", "more", name, "give the path of a file")
        _TYPED[given] = data
    stream = cast(io.BufferedReader, io.BufferedReader(cast(io.RawIOBase, io.BytesIO(_TYPED[given]))))
    yield from _unfolded(stream, name, note, given=True)


def _folder(root: Path, note: Note) -> Iterator[Source]:
    count = logs = 0
    inside = root.resolve()
    for folder, folders, files in os.walk(root, onerror=lambda error: note(printable(str(root)), f"not read: {error}")):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            count += 1
            if count > MEMBERS:
                note(printable(str(root)), f"more than {MEMBERS} files: the rest is not read")
                return
            if not path.resolve().is_relative_to(inside):
                note(printable(str(path)), "a link out of the folder: not followed")
            elif _is_log(str(path.relative_to(root))):
                logs += 1
            elif path.is_file():
                try:
                    yield from _file(path, printable(str(path)), note)
                except OSError as error:
                    note(printable(str(path)), f"not read: {error}")
    _say_logs(printable(str(root)), logs, note)


def _is_log(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return ".log" in parts[-1] and not LOGS.isdisjoint(parts[:-1])


def _say_logs(where: str, count: int, note: Note) -> None:
    if count:
        note(where, f"{count} log file{'s' if count > 1 else ''} of pods and hosts: not read")


def _file(path: Path, name: str, note: Note, *, given: bool = False) -> Iterator[Source]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    with path.open("rb") as stream:
        yield from _unfolded(stream, name, note, given=given)


def _unfolded(stream: io.BufferedReader, name: str, note: Note, *, given: bool) -> Iterator[Source]:
    try:
        yield from _Unfolding(note, _Budget(stream)).open(stream, name, given)
    except UNPACKING as error:
        note(name, broken_off(error))


class _Unfolding:
    """One file with all that is packed in it."""

    def __init__(self, note: Note, budget: _Budget) -> None:
        self._note = note
        self._budget = budget
        self._members = 0
        self._depth = 0

    def open(self, stream: io.BufferedReader, name: str, given: bool = False) -> Iterator[Source]:
        """A stream as itself, or what is in it."""
        head = stream.peek(512)
        packers: dict[bytes, Callable[[BinaryIO], object]] = {
            b"\x1f\x8b": gzip.open,
            b"BZh": bz2.open,
            b"\xfd7zXZ\x00": lzma.open,
        }
        opener = next((o for magic, o in packers.items() if head.startswith(magic)), None)
        zipped = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
        packed = opener is not None or zipped or _is_tar(head)
        if packed and self._depth >= DEPTH:
            self._note(name, f"packed more than {DEPTH} times: not read")
            return
        self._depth += packed
        try:
            if opener is not None:
                yield from self.open(self._counted(cast(BinaryIO, opener(stream))), name, given)
            elif zipped:
                yield from self._zip(stream, name)
            elif packed:
                yield from self._tar(stream, name)
            else:
                yield Source(name, cast(BinaryIO, stream), given)
        finally:
            self._depth -= packed

    def _counted(self, stream: BinaryIO) -> io.BufferedReader:
        return io.BufferedReader(_Counted(stream, self._budget), 1 << 16)

    def _full(self, name: str) -> bool:
        self._members += 1
        if self._members > MEMBERS:
            self._note(name, f"more than {MEMBERS} members: the rest is not read")
        return self._members > MEMBERS

    def _tar(self, stream: io.BufferedReader, name: str) -> Iterator[Source]:
        logs = 0
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                where = f"{name}:{printable(member.name)}"
                if self._full(name):
                    return
                if _leads_out(member.name):
                    self._note(where, "a path that leads out of the archive: not read")
                elif member.issparse():
                    self._note(where, "a sparse file, which may claim any size: not read")
                elif member.isreg():
                    inner = archive.extractfile(member)
                    if _is_log(member.name):
                        logs += 1
                    elif inner is not None:
                        yield from self._member(cast(io.BufferedReader, inner), where)
                elif not member.isdir():
                    self._note(where, "a link or a device: not followed")
        _say_logs(name, logs, self._note)

    def _member(self, stream: io.BufferedReader, where: str) -> Iterator[Source]:
        """What is wrong within a member that is an archive itself does not end the outer one."""
        try:
            yield from self.open(stream, where)
        except Bomb:
            raise
        except UNPACKING as error:
            self._note(where, broken_off(error))

    def _zip(self, stream: io.BufferedReader, name: str) -> Iterator[Source]:
        whole: IO[bytes] = stream
        if not stream.seekable() or self._depth > 1:
            whole = io.BytesIO(stream.read(FREE + 1))
            if len(whole.read()) > FREE:
                self._note(name, f"a zip of more than {FREE >> 20} MiB within an archive: not read")
                return
        logs = 0
        with zipfile.ZipFile(whole) as archive:
            for member in archive.infolist():
                where = f"{name}:{printable(member.filename)}"
                if self._full(name):
                    return
                if member.is_dir():
                    continue
                if _leads_out(member.filename):
                    self._note(where, "a path that leads out of the archive: not read")
                elif stat.S_ISLNK(member.external_attr >> 16):
                    self._note(where, "a link: not followed")
                elif member.flag_bits & 1:
                    self._note(where, "encrypted: not read")
                elif _is_log(member.filename):
                    logs += 1
                else:
                    with archive.open(member) as inner:
                        yield from self._member(self._counted(cast(BinaryIO, inner)), where)
        _say_logs(name, logs, self._note)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or ":" in name[1:2]
