"""Bytes of unknown origin to lines of text: pasted terminals, other systems' line ends, encodings and colours.

Memory stays bounded whatever comes: a line beyond the limit is dropped as it streams by, and that is said.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

BLOCK = 1 << 20
LINE_LIMIT = 32 << 20
"""Bytes. ovn-nbctl prints a whole table of JSON as one line, so this bounds a zone, not a row."""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "utf-8"))


def blocks(stream: BinaryIO, dropped: Callable[[int], None]) -> Iterator[tuple[int, list[str], bool]]:
    """Lists of whole lines, each with the number of its first line (from 1), and whether the last line is unfinished.

    Only the last block of a stream can end in an unfinished line: one without a line end. *dropped* is told the number
    of each line that was longer than :data:`LINE_LIMIT` and stands as an empty line instead.
    """
    first = 1
    rest = ""
    skipping = False
    for text in _decoded(stream):
        lines = (rest + text).split("\n")
        rest = lines.pop()
        if skipping and lines:
            lines[0] = ""
            skipping = False
        if skipping:
            rest = ""
        elif len(rest) > LINE_LIMIT:
            dropped(first + len(lines))
            rest, skipping = "", True
        if lines:
            yield first, _clean(lines), False
            first += len(lines)
    if rest:
        yield first, _clean([rest]), True


def _decoded(stream: BinaryIO) -> Iterator[str]:
    """Text with whatever is no text replaced; UTF-16 is what a redirect in PowerShell writes."""
    block = stream.read(BLOCK)
    mark, encoding = next(((m, e) for m, e in _MARKS if block.startswith(m)), (b"", "utf-8"))
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    block = block[len(mark) :]
    while block:
        yield decoder.decode(block)
        block = stream.read(BLOCK)
    if tail := decoder.decode(b"", final=True):
        yield tail


def _clean(lines: list[str]) -> list[str]:
    joined = "\n".join(lines)
    if "\x1b" not in joined and "\r" not in joined:
        return lines
    return [_ANSI.sub("", line).rstrip("\r") if "\x1b" in line or line.endswith("\r") else line for line in lines]


def printable(text: str, limit: int = 300) -> str:
    """Foreign text on one line, harmless to a terminal."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return shown if len(text) <= limit else shown + "..."
