"""KubeVirt: a guest's agent hangs. What it used to tell goes stale, and nobody can ask it for anything."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.errors import UsageError
from lab.embedded.faults.guest import VM, InGuest

LONGEST_S = 300
AGENT = 'for d in /proc/[0-9]*; do read -r name < $d/comm && [ "$name" = qemu-ga ] && echo ${d#/proc/}; done'


class AgentAbsent(InGuest):
    """The agent hangs for an exact time: it is the only way in, so it must come back by itself."""

    name = "agent-absent"
    layer = "kubevirt"
    summary = "a guest's agent answers nobody for an exact time"
    parameters: Mapping[str, str] = {**VM, "seconds": f"how long, 1 to {LONGEST_S}"}

    def breaking(self, arguments: Mapping[str, str]) -> str:
        text = arguments["seconds"]
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LONGEST_S):
            raise UsageError(f"wanted seconds from 1 to {LONGEST_S}", repr(text), advice="seconds=60")
        # Not before it has told of this command's end, and been looked at.
        late = f"sleep 2; kill -STOP $pid; sleep {text}; kill -CONT $pid; rm /run/agent-absent"
        return f"pid=$({AGENT}); echo $pid > /run/agent-absent; ({late}) </dev/null >/dev/null 2>&1 &"

    def mending(self, arguments: Mapping[str, str]) -> str:
        return "while [ -e /run/agent-absent ]; do sleep 1; done"

    def looking(self, arguments: Mapping[str, str]) -> str:
        return "cat /run/agent-absent 2>/dev/null || true"
