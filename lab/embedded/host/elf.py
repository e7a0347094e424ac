"""Read the little of an ELF file that choosing and packing tools needs: is it static, which libraries does it ask for.

No program is executed to find out (``ldd`` runs the loader of the file it looks at), so files of an unpacked, foreign
root can be asked just the same. 64-bit little-endian only: that is what the lab's guests are.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


class NotElf(Exception):
    """The file is no 64-bit little-endian ELF."""


@dataclass(frozen=True)
class Elf:
    interpreter: str | None
    needed: tuple[str, ...]

    @property
    def static(self) -> bool:
        return self.interpreter is None and not self.needed


def read(path: Path) -> Elf:
    """Raises NotElf for anything but a 64-bit little-endian ELF, OSError when the file cannot be read."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise NotElf(f"{path} is not a 64-bit little-endian ELF file")
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise NotElf(f"{path} has a damaged ELF header: {error}") from error


def _parse(data: bytes) -> Elf:
    (phoff,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    interpreter: str | None = None
    dynamic = (0, 0)
    for index in range(count):
        kind, _flags, offset, address, _paddr, filesz = struct.unpack_from("<IIQQQQ", data, phoff + index * size)
        if kind == _PT_LOAD:
            loads.append((address, offset, filesz))
        elif kind == _PT_INTERP:
            interpreter = _text(data, offset)
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, filesz)
    return Elf(interpreter, tuple(_needed(data, loads, *dynamic)))


def _needed(data: bytes, loads: Sequence[tuple[int, int, int]], offset: int, size: int) -> list[str]:
    names: list[int] = []
    strings = 0
    for at in range(offset, offset + size, 16):
        tag, value = struct.unpack_from("<QQ", data, at)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = next(
                value - address + base for address, base, length in loads if address <= value < address + length
            )
    return [_text(data, strings + name) for name in names]


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()


def libraries(binaries: Sequence[Path], folders: Sequence[Path]) -> dict[str, Path]:
    """All shared libraries the binaries need, directly or not: soname -> file; the loader is in it under its own path.

    Raises FileNotFoundError naming the library, who asked for it, and the folders searched."""
    found: dict[str, Path] = {}
    todo = list(binaries)
    while todo:
        asker = todo.pop()
        elf = read(asker)
        wanted = [*elf.needed, *([elf.interpreter] if elf.interpreter else [])]
        for name in wanted:
            if name in found:
                continue
            found[name] = _locate(name, asker, folders)
            todo.append(found[name])
    return found


def _locate(name: str, asker: Path, folders: Sequence[Path]) -> Path:
    for candidate in [Path(name)] if name.startswith("/") else [folder / name for folder in folders]:
        if candidate.exists():
            return candidate
    where = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"{asker.name} needs the library {name}, which is in none of: {where}")
