"""A small ISO 9660 image with Joliet names, made in memory.

It holds what cloud-init's data sources need: a volume label and a handful of small files, one level of
folders deep or two.  Equal input gives equal bytes, so that both ends of a migration may build it; it
must not become a general ISO tool.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

SECTOR = 2048
_FIRST = 20
"""Sectors 0-15 are the system area, 16 and 17 the descriptors, 18 their end, 19 spare."""
_WHEN = bytes((124, 1, 1, 0, 0, 0, 0))
_LONG_WHEN = b"2024010100000000\x00"


@dataclass
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    parent: _Folder | None = None
    sector: dict[bool, int] = field(default_factory=dict)
    size: dict[bool, int] = field(default_factory=dict)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _name(name: str, joliet: bool, folder: bool) -> bytes:
    if joliet:
        return name.encode("utf-16-be")
    plain = name.upper().encode("ascii", "replace")
    return plain if folder else plain + b";1"


def _record(name: bytes, sector: int, size: int, *, folder: bool) -> bytes:
    pad = b"\0" if len(name) % 2 == 0 else b""
    length = 33 + len(name) + len(pad)
    head = struct.pack("BB", length, 0) + _both32(sector) + _both32(size) + _WHEN
    return head + struct.pack("BBB", 2 if folder else 0, 0, 0) + _both16(1) + struct.pack("B", len(name)) + name + pad


def _sectors(size: int) -> int:
    return max(1, -(-size // SECTOR))


def _pack(records: list[bytes]) -> bytes:
    # A directory record may not cross a sector boundary.
    out = b""
    for record in records:
        room = SECTOR - len(out) % SECTOR
        if len(record) > room:
            out += b"\0" * room
        out += record
    return out + b"\0" * (-len(out) % SECTOR)


def _walk(root: _Folder) -> list[_Folder]:
    """Folders breadth first, as a path table wants them."""
    found = [root]
    for folder in found:
        found.extend(folder.folders[name] for name in sorted(folder.folders))
    return found


def _tree(files: Mapping[str, bytes]) -> _Folder:
    root = _Folder()
    for path, content in files.items():
        *folders, name = path.split("/")
        here = root
        for part in folders:
            here = here.folders.setdefault(part, _Folder(parent=here))
        here.files[name] = content
    return root


def _listing(folder: _Folder, joliet: bool, content_at: dict[int, int]) -> bytes:
    up = folder.parent or folder
    records = [
        _record(b"\0", folder.sector.get(joliet, 0), folder.size.get(joliet, 0), folder=True),
        _record(b"\1", up.sector.get(joliet, 0), up.size.get(joliet, 0), folder=True),
    ]
    entries = [
        (_name(name, joliet, True), sub.sector.get(joliet, 0), sub.size.get(joliet, 0), True)
        for name, sub in folder.folders.items()
    ]
    entries += [
        (_name(name, joliet, False), content_at.get(id(content), 0), len(content), False)
        for name, content in folder.files.items()
    ]
    return _pack(records + [_record(name, at, size, folder=is_dir) for name, at, size, is_dir in sorted(entries)])


def _path_table(folders: list[_Folder], joliet: bool, order: str) -> bytes:
    numbers = {id(folder): index for index, folder in enumerate(folders, 1)}
    names = {id(sub): _name(name, joliet, True) for folder in folders for name, sub in folder.folders.items()}
    out = b""
    for folder in folders:
        name = names.get(id(folder), b"\0")
        parent = numbers[id(folder.parent)] if folder.parent else 1
        out += struct.pack("BB", len(name), 0) + struct.pack(f"{order}IH", folder.sector[joliet], parent)
        out += name + (b"\0" if len(name) % 2 else b"")
    return out


def _descriptor(kind: int, label: str, total: int, table: tuple[int, int, int], root: _Folder, joliet: bool) -> bytes:
    def text(value: str, size: int) -> bytes:
        raw = value.encode("utf-16-be") if joliet else value.encode("ascii", "replace")
        blank = b"\0 " if joliet else b" "
        return (raw + blank * size)[:size]

    size, little, big = table
    out = struct.pack("B5sBB", kind, b"CD001", 1, 0) + text("LINUX", 32) + text(label, 32) + b"\0" * 8
    out += _both32(total) + (b"%/E" if joliet else b"").ljust(32, b"\0")
    out += _both16(1) + _both16(1) + _both16(SECTOR) + _both32(size)
    out += struct.pack("<II", little, 0) + struct.pack(">II", big, 0)
    out += _record(b"\0", root.sector[joliet], root.size[joliet], folder=True)
    out += text("", 128) * 4 + text("", 37) * 3
    out += _LONG_WHEN * 2 + b"0" * 16 + b"\0" + _LONG_WHEN + b"\1"
    return out.ljust(SECTOR, b"\0")


def iso_image(label: str, files: Mapping[str, bytes]) -> bytes:
    """An image whose volume is called ``label`` (at most 16 characters) with ``files`` by path."""
    root = _tree(files)
    folders = _walk(root)
    at = _FIRST
    tables: dict[bool, tuple[int, int, int]] = {}
    for joliet in (False, True):
        for folder in folders:
            folder.size[joliet] = len(_listing(folder, joliet, {}))
        for folder in folders:
            folder.sector[joliet] = at
            at += _sectors(folder.size[joliet])
        size = len(_path_table(folders, joliet, "<"))
        tables[joliet] = (size, at, at + _sectors(size))
        at += 2 * _sectors(size)
    content_at: dict[int, int] = {}
    contents = [content for folder in folders for content in folder.files.values()]
    for content in contents:
        content_at[id(content)] = at
        at += _sectors(len(content))
    image = bytearray(at * SECTOR)

    def put(sector: int, data: bytes) -> None:
        image[sector * SECTOR : sector * SECTOR + len(data)] = data

    for joliet in (False, True):
        put(16 + joliet, _descriptor(2 if joliet else 1, label, at, tables[joliet], root, joliet))
        for folder in folders:
            put(folder.sector[joliet], _listing(folder, joliet, content_at))
        put(tables[joliet][1], _path_table(folders, joliet, "<"))
        put(tables[joliet][2], _path_table(folders, joliet, ">"))
    put(18, b"\xffCD001\1")
    for content in contents:
        put(content_at[id(content)], content)
    return bytes(image)
