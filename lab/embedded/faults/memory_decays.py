"""Guest: a file that lies in its memory does not keep what is written to it, as after pages that a move has lost.

One byte of it is another one, over and over. Whoever writes and never compares notices nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import InGuest

PID = "/run/memory-decays"
FILES = "/dev/shm/*/written /run/shm/*/written /tmp/*/written"  # noqa: S108
"""Where a load writes that checks its memory."""
LOOP = (
    f"n=0; while :; do for f in {FILES}; do [ -e $f ] && "
    "echo $n | dd of=$f bs=1 seek=70000 conv=notrunc 2>/dev/null; done; n=$((n + 1)); done"
)


class MemoryDecays(InGuest):
    """Until it is healed."""

    name = "memory-decays"
    summary = "a file in a guest's memory does not keep what is written to it"

    def breaking(self, arguments: Mapping[str, str]) -> str:
        return f"sh -c '{LOOP}' </dev/null >/dev/null 2>&1 & echo $! > {PID}"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return f"kill -9 $(cat {PID}); rm {PID}"

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"for pid in $(cat {PID} 2>/dev/null); do kill -0 $pid 2>/dev/null && echo $pid; done; true"
