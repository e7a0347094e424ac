"""Answers out of a continuous ping's log, fast: ten minutes at 10 ms are 60,000 lines. Pure.

Two sorts of line are read: those of `ping -D` (iputils), and those of any ping with a stamp that a shell put before it.
Nothing is judged here, and a line that is no answer is left out, never taken for loss.
"""

from __future__ import annotations

import itertools
import operator
import re
from dataclasses import dataclass, field

_LINES = 1000
_ANSWER = re.compile(
    r"^(?P<open>\[?)(?P<at>\d{1,12}\.\d+)(?P<close>\]?)"
    r"(?P<head> \d+ bytes from \S+ (?:\(\S+ )?(?:icmp_)?seq=)(?P<seq>\d{1,9})"
    r"(?P<middle>(?: ident=\d+)? ttl=\d+ time=)(?P<ms>\d{1,9}(?:\.\d+)?)(?P<tail> ms)(?P<rest>[^\n]*)$",
    re.M,
)
_HALF = 1 << 15
_MOST = 10**12


@dataclass
class Replies:
    """Columns, in the order in which answers came. `seq` counts on past 65535; `at` in seconds of the clock that made
    the stamps; `ms` round trips. An answer that came twice is there twice."""

    seq: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seq)


def read_replies(text: str) -> Replies:
    """All stamped answers of a log; blocks of like lines by plain splitting, what is odd by a pattern."""
    found = Replies()
    lines = text.split("\n")
    for start in range(0, len(lines), _LINES):
        block = lines[start : start + _LINES]
        if not _plain(block, found):
            _odd("\n".join(block), found)
    found.seq = _counted_on(found.seq)
    return found


def _plain(block: list[str], found: Replies) -> bool:
    """Adds a block whose lines all have the shape of its first one; False, and nothing added, when one has not."""
    shape = _ANSWER.match(block[0])
    if shape is None or shape["rest"]:
        return False
    text = "\n".join(block).removeprefix(shape["open"]).removesuffix(" ms")
    text = text.replace(" ms\n" + shape["open"], " ").replace(shape["close"] + shape["head"], " ")
    words = text.replace(shape["middle"], " ").split()
    if len(words) != 3 * len(block):
        return False
    try:
        at, seq, ms = list(map(float, words[0::3])), list(map(int, words[1::3])), list(map(float, words[2::3]))
    except ValueError:
        return False
    if not (max(at) < _MOST and max(seq) < _MOST and max(ms) < _MOST):
        return False
    found.at += at
    found.seq += seq
    found.ms += ms
    return True


def _odd(text: str, found: Replies) -> None:
    for match in _ANSWER.finditer(text):
        found.at.append(float(match["at"]))
        found.seq.append(int(match["seq"]))
        found.ms.append(float(match["ms"]))


def _counted_on(seqs: list[int]) -> list[int]:
    """Sequence numbers have 16 bits on the wire, and begin anew after 65535."""
    # Numbers that begin anew fall; ten minutes of answers that all came, in order, do not.
    if all(map(operator.lt, seqs, itertools.islice(seqs, 1, None))) or max(seqs) - min(seqs) < _HALF:
        return seqs
    counted, base, before = [], 0, seqs[0]
    for seq in seqs:
        if before - seq > _HALF:
            base += 1 << 16
        elif seq - before > _HALF and base:
            # An answer from before the turn that came late.
            counted.append(seq + base - (1 << 16))
            continue
        before = seq
        counted.append(seq + base)
    return counted
