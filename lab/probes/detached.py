"""A script that runs on in a place by itself: the session that started it may end, its log is fetched afterwards.

Started, confirmed running, and stopped each take one command. It is told nothing about what the log means.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.guest.shell import Shell

# $1: shell pattern of what a running probe's log has in a line, $2: how often to look for it, $3...: what runs. Looking
# takes no program but sleep: each costs an emulated guest some 10 ms. What runs has the folder as working directory;
# its output is the log. HUP is what a dying session sends.
START = r"""
LC_ALL=C; export LC_ALL; umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/virtlab-probe.XXXXXX") && cd "$d" || exit 1
w=$1 t=$2; shift 2
trap '' HUP
if command -v setsid >/dev/null 2>&1; then set -- setsid "$@"; fi
"$@" >log 2>err </dev/null &
echo $! >pid
n=0
seen() { while read -r l; do case $l in *$w*) return 0 ;; esac; done <log; return 1; }
until sleep 0.02; seen; do
  n=$((n+1))
  if [ $n -gt "$t" ]; then echo "late $d"; cat err log; exit 0; fi
  if ! kill -0 $! 2>/dev/null; then echo "dead $d"; cat err log; exit 0; fi
done
echo "runs $d"
"""
# $1: folder, $2: tenths of a second to wait for one more line of $3, $4: signal, $5: what to say when it is over.
STOP = r"""
cd "$1" || exit 1
if [ "$2" -gt 0 ]; then
  n=0; b=$(grep -c "$3" log)
  until [ "$(grep -c "$3" log)" -gt "$b" ]; do n=$((n+1)); [ $n -gt "$2" ] && break; sleep 0.1; done
fi
read -r p <pid
# One that nobody has reaped yet has ended as well.
{ kill -0 "$p" && ! grep -q '^State:.Z' "/proc/$p/status"; } 2>/dev/null || echo "$5" >&2
for p in $(cat pid pids 2>/dev/null); do kill -"$4" "$p" 2>/dev/null; done
n=0
while kill -0 $(cat pid) 2>/dev/null; do n=$((n+1)); [ $n -gt 20 ] && break; sleep 0.05; done
for p in $(cat pid pids 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
cd / ; cat "$1/err" >&2
if command -v gzip >/dev/null && command -v base64 >/dev/null; then echo gz; gzip -c "$1/log" | base64
else echo as is; cat "$1/log"; fi
rm -rf "$1"
"""
_LOOKS = 150
_SHOWN = 400
OVER = "it had ended before it was stopped"
_GZIP = 31
_LARGEST = 64 * 2**20
"""Of a log: what a guest packs may be a bomb."""


class Detached:
    """One script in one place. `name` is for people."""

    def __init__(self, shell: Shell, name: str) -> None:
        self.shell = shell
        self.name = name
        self.folder = ""

    def start(self, argv: Sequence[str], *, running: str, deadline: Deadline) -> None:
        """Returns when its log has a line with *running* (a shell's pattern) in it.

        Raises ProbeNotStarted with what it said, GuestUnreachable.
        """
        words = ["sh", "-c", START, "sh", running, str(_LOOKS), *argv]
        with trace.span("probe", self.shell.place, f"start {self.name}", limit=deadline.remaining()):
            result = self.shell.run(words, deadline=deadline)
        word, _, rest = result.stdout.partition(" ")
        self.folder, _, said = rest.partition("\n")
        if word != "runs" or not self.folder.startswith("/"):
            self._discard(word, deadline)
            said = (said or result.output).strip()[-_SHOWN:] or "it says nothing"
            raise ProbeNotStarted(
                f"{self.name}, running",
                f"{_WORDS.get(word, 'it did not start')}: {said}",
                self.shell.place,
                "try the same by hand there",
            )

    def _discard(self, word: str, deadline: Deadline) -> None:
        if word in _WORDS and self.folder.startswith("/"):
            self.stop(deadline=deadline)

    def stop(self, *, more: str = "", wait_s: float = 0.0, signal: str = "INT", deadline: Deadline) -> CommandResult:
        """Ends it and removes it; its log is the result's stdout, what it complained of the stderr. With *more* it
        first waits, up to `wait_s`, until a further line with that pattern is in the log: so that a late recovery is
        measured and not cut off.

        Raises Inconclusive (the log did not arrive whole), GuestUnreachable.
        """
        words = ["sh", "-c", STOP, "sh", self.folder, str(int(wait_s * 10) if more else 0), more or "x", signal, OVER]
        with trace.span("probe", self.shell.place, f"stop {self.name}", limit=deadline.remaining()):
            result = self.shell.run(words, deadline=deadline)
        log = unpacked(result.stdout) if result.ok else None
        if log is None:
            raise Inconclusive(f"the log of {self.name}", str(result), self.shell.place, "is its /tmp full?")
        return CommandResult(result.argv, result.place, result.exit_code, log, result.stderr, result.seconds)


_WORDS = {"late": "it runs and has no success yet", "dead": "it ended"}


def unpacked(text: str) -> str | None:
    """The log out of what STOP printed; None when it is damaged."""
    how, _, body = text.partition("\n")
    if how == "as is":
        return body
    if how != "gz":
        return None
    try:
        packed = base64.b64decode(re.sub(r"\s", "", body), validate=True)
        inflating = zlib.decompressobj(_GZIP)
        data = inflating.decompress(packed, _LARGEST)
    except (ValueError, zlib.error):
        return None
    return data.decode("utf-8", "replace") if inflating.eof else None
