"""What a place has that probes can be made of, found out once, and what stands in for what it lacks.

Distribution images differ: no nc in one, a ping without time stamps in the next, a shell without a clock in the third.
Nothing is ever put into a guest but lines of shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import ProbeNotStarted, ToolMissing
from lab.guest.shell import Shell

SCRIPT = r"""
for s in sh bash ash 'busybox sh'; do
  [ "$($s -c 'echo ${EPOCHREALTIME:+y}' 2>/dev/null)" = y ] && { echo "clock $s"; break; }
done
case $(ping -V 2>&1) in *iputils*) echo ping iputils ;; *BusyBox*) echo ping busybox ;; *not\ found*) ;;
  *) echo ping other ;; esac
case $(nc -h 2>&1 </dev/null) in *BusyBox*) echo nc busybox ;; *Ncat*) echo nc ncat ;; *OpenBSD*) echo nc openbsd ;;
  *v1.*) echo nc traditional ;; esac
case $(echo | ts %.s 2>/dev/null) in [0-9]*.[0-9]*) echo has ts ;; esac
[ "$(bash -c 'echo $BASH_VERSION' 2>/dev/null)" ] && echo has bash
sudo -n true 2>/dev/null && echo has sudo
for t in setsid gzip base64 mkfifo socat iperf3 dd curl wget dig nslookup getent arping tracepath traceroute \
  ip dnsmasq tcpdump python3; do
  command -v $t >/dev/null 2>&1 && echo "has $t"
done
echo end
"""


@dataclass(frozen=True)
class Toolbox:
    """`clock` are the words of a shell that knows the time by itself (() none does); `ping` is "iputils", "busybox",
    "other" or ""; `nc` is "busybox", "openbsd", "ncat", "traditional" or ""; `has` are further programs, "ts" only one
    that knows fractions of a second, "sudo" only one that gives root without a word."""

    place: str
    clock: tuple[str, ...]
    ping: str
    nc: str
    has: frozenset[str]

    def first(self, what: str, *names: str) -> str:
        """The first of some programs that is there. Raises ToolMissing naming all."""
        for name in names:
            if name in self.has or (name == "nc" and self.nc) or (name == "ping" and self.ping):
                return name
        raise ToolMissing(
            f"{' or '.join(names)} for {what}", "none of them", self.place, f"an image that has {names[0]}"
        )


def read_toolbox(text: str, place: str) -> Toolbox | None:
    """What SCRIPT printed; None when it did not come to its end."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    if not lines or lines[-1] != ["end"]:
        return None
    facts: Mapping[str, str] = {line[0]: line[1] for line in lines if len(line) == 2 and line[0] != "has"}
    return Toolbox(
        place=place,
        clock=tuple(facts.get("clock", "").split()),
        ping=facts.get("ping", ""),
        nc=facts.get("nc", ""),
        has=frozenset(line[1] for line in lines if len(line) == 2 and line[0] == "has"),
    )


def look(shell: Shell, *, deadline: Deadline) -> Toolbox:
    """Raises ProbeNotStarted (no usable shell there), GuestUnreachable."""
    result = shell.run(["sh", "-c", SCRIPT], deadline=deadline)
    found = read_toolbox(result.stdout, shell.place)
    if found is None:
        raise ProbeNotStarted("a list of the tools there", str(result), shell.place, "is there a POSIX shell?")
    return found
