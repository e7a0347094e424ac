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
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_RETURNS = re.compile(r"\r+$", re.M)
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "utf-8"))


def blocks(stream: BinaryIO, dropped: Callable[[int], None]) -> Iterator[tuple[int, str, bool]]:
    """Whole lines as one text each, with the number of the first line (from 1), and whether the last one is unfinished.

    The last line end of a text is left out. Only the last block of a stream can end in an unfinished line: one without
    a line end. *dropped* is told the number of each line that was longer than :data:`LINE_LIMIT`; an empty line stands
    for it.
    """
    first = 1
    rest = ""
    skipping = False
    for text in _decoded(stream):
        head, end, tail = (rest + text).rpartition("\n")
        rest = tail
        if end and skipping:
            head = "\n" + head.partition("\n")[2] if "\n" in head else ""
            skipping = False
        if skipping:
            rest = ""
        elif len(rest) > LINE_LIMIT:
            dropped(first + (head.count("\n") + 1 if end else 0))
            rest, skipping = "", True
        if end:
            yield first, _clean(head), False
            first += head.count("\n") + 1
    if rest:
        yield first, _clean(rest), True


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


def _clean(text: str) -> str:
    """Without colours and other systems' line ends; the number of lines stays."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return _RETURNS.sub("", text) if "\r" in text else text


def printable(text: str, limit: int = 300) -> str:
    """Foreign text on one line, harmless to a terminal."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return shown if len(text) <= limit else shown + "..."
