"""Guest: its processor is busy, so that everything takes longer and nothing is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.guest import InGuest

PIDS = "/run/guest-slow"


class GuestSlow(InGuest):
    """Busy loops take its processor, for the whole of a check and longer."""

    name = "guest-slow"
    summary = "a guest's processor is busy with something else"

    def breaking(self, arguments: Mapping[str, str]) -> str:
        loop = "sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &"
        return f"for n in 1 2 3 4; do {loop} echo $! >> {PIDS}; done"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return f"kill -9 $(cat {PIDS}); rm {PIDS}"

    def looking(self, arguments: Mapping[str, str]) -> str:
        return f"for pid in $(cat {PIDS} 2>/dev/null); do kill -0 $pid 2>/dev/null && echo $pid; done; true"
