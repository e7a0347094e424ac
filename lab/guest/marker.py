"""The words between us and a shell on a serial line: marks that no echo can fake, a payload that no noise can alter.

Pure. A serial console carries commands, their echo, their output and the kernel's messages in one stream. So a command
is sent as plain characters in short lines (a line editor, TAB and a tty's line limit would alter others), its output
goes into files in the guest, and comes back encoded with a checksum: what does not match is fetched, not run, again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["base64", "hex"]
TYPED, LINE = 80, 1000
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _./:=,@+-")
_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_()#][0-9A-Za-z]?)"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")

RUNNER = (
    ' vlo(){ [ ! -s "$VLD/$1" ] || $VLE <"$VLD/$1"; }; vlf(){ VLB= VLC=; read -r VLB <"$VLD/s"; read -r VLC <"$VLD/r"; '
    'printf "\\n%sB\\n" "$1"; vlo o; printf "\\n%sM\\n" "$1"; vlo e; set -- "$1" $(cd "$VLD"; sha256sum o e); '
    'printf "\\n%sE:%s:%s:%s:%s:\\n" "$1" "$VLB" "$VLC" "$2" "$4"; }',
    ' vlr(){ echo "$1" >"$VLD/s"; ( eval "$2" ) </dev/null >"$VLD/o" 2>"$VLD/e"; echo "$1 $?" >"$VLD/r"; vlf "$1"; }',
    ' vlx(){ VLS= VLN=$2; while [ "$VLN" -gt 0 ]; do VLN=$((VLN-1)); IFS= read $VLQ VLI; [ "$VLI" ] || break; '
    'VLS=$VLS${VLI#+}; done; if [ ${#VLS} = "$3" ]; then vlr "$1" "$(printf %b "$VLS")"; else vlf "$1"; fi; }',
)
"""Shell functions (POSIX sh): vlf MARK prints the kept result, vlr MARK SCRIPT runs, keeps and prints it,
vlx MARK LINES CHARACTERS does so with a script that it reads. Under emulation each program costs some 15 ms, hence few
of them."""
SETUP = (
    ' unset HISTFILE; dmesg -n 1 2>/dev/null; VLD=$(umask 077; mktemp -d "${TMPDIR:-/tmp}/virtlab.XXXXXX"); '
    "if command -v base64 >/dev/null; then VLE=base64; else VLE='od -An -v -tx1'; fi; "
    "VLQ=-r; echo | read -rs VLI 2>/dev/null && VLQ=-rs",
    *RUNNER,
)
"""Typed once after each login; few lines, since each is waited for."""


def new_mark() -> str:
    """Ten random letters; none of R, I, D, so that a mark cannot spell ERROR or FAIL."""
    return "".join(secrets.choice("ABCEGHJKLMNPQSTUVWXYZ") for _ in range(10))


def quoted_apart(mark: str) -> str:
    """The mark as shell words that are it when run, but not when echoed."""
    return f"'{mark[:4]}''{mark[4:]}'"


def script_lines(mark: str, script: str) -> list[str]:
    """The lines to send, all at once, to run a script under `mark`.

    What is typed at a prompt goes through the shell's line editor, 0.2 ms a character in an emulated guest. So a longer
    script follows the command that reads it, without an echo where the shell can do that; lines that got lost on the
    way leave its length wrong, and nothing is run. A prompt that gets them instead finds no such command.
    """
    escaped = "".join(chr(c) if c in _SAFE else f"\\0{c:03o}" for c in script.encode("utf-8", "surrogateescape"))
    if len(escaped) <= TYPED:
        return [f" vlr {quoted_apart(mark)} \"$(printf %b '{escaped}')\""]
    lines = _chunks(escaped)
    return [f" vlx {quoted_apart(mark)} {len(lines)} {len(escaped)}", *(f"+{line}" for line in lines)]


def _chunks(escaped: str) -> list[str]:
    """Pieces that cut no escape sequence (5 characters, from its backslash)."""
    found: list[str] = []
    at = 0
    while at < len(escaped):
        end = min(at + LINE, len(escaped))
        back = escaped.rfind("\\", max(at, end - 4), end)
        if back != -1 and end < len(escaped):
            end = back
        found.append(escaped[at:end])
        at = end
    return found


def fetch_line(mark: str) -> str:
    """The line to type to have the kept result printed again."""
    return f" vlf {quoted_apart(mark)}"


def probe_line(mark: str) -> str:
    """The line that a shell, and only a shell, answers with the bare mark."""
    return f" echo {quoted_apart(mark)}"


def plain(data: bytes) -> str:
    """Console bytes as text without ANSI sequences; broken UTF-8 is replaced."""
    return _ANSI.sub("", data.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Delivery:
    """A result that arrived whole."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Damaged(Exception):
    """A result arrived, and noise altered it: worth fetching again."""


class NeverStarted(Exception):
    """The shell answers, and has not begun this command: its line was lost, it may be typed again."""


class Interrupted(Exception):
    """The command began and left no exit status."""


def find_result(mark: str, text: str) -> Delivery | None:
    """The last complete result under `mark` in console text (ANSI-free); None while there is none.

    Raises Damaged, NeverStarted, Interrupted.
    """
    pattern = rf"{mark}B\r*\n(.*?){mark}M\r*\n(.*?){mark}E:(\w*):(\w*) ?(\d*):([0-9a-f]*):([0-9a-f]*):"
    matches = list(re.finditer(pattern, text, re.S))
    if not matches:
        return None
    out, err, begun, of, code, out_sum, err_sum = matches[-1].groups()
    if begun != mark:
        raise NeverStarted(f"the last command begun is {begun!r}")
    if of != mark or not code:
        raise Interrupted(f"the last exit status is that of {of!r}")
    return Delivery(int(code), _decode(out, out_sum), _decode(err, err_sum))


def _decode(text: str, digest: str) -> bytes:
    if not _DIGEST.fullmatch(digest):
        raise Damaged("the checksum is damaged")
    lines = [line.strip() for line in text.splitlines()]
    for decode in (_base64, _hex):
        data = decode(lines)
        if data is not None and hashlib.sha256(data).hexdigest() == digest:
            return data
    raise Damaged("the checksum does not match")


def _base64(lines: list[str]) -> bytes | None:
    """Lines that are not of base64 are noise and left out; the checksum tells whether that was right."""
    joined = "".join(line for line in lines if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", line))
    try:
        return base64.b64decode(joined, validate=True)
    except binascii.Error:
        return None


def _hex(lines: list[str]) -> bytes | None:
    joined = " ".join(line for line in lines if re.fullmatch(r"(?:[0-9a-f]{2} ?)+", line))
    try:
        return bytes.fromhex(joined)
    except ValueError:
        return None
