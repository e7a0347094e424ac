"""What tells a network that a guest is somewhere else now: RARP and gratuitous ARP with its MAC address, as packets.

Heard on a host in the guest's network while the guest moves: what arrives there has passed every switch on the way, and
they have learned from it. Any other frame of the guest teaches them as well, but only if the guest happens to speak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import inf

from lab.core.clock import now
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ToolMissing
from lab.guest.shell import Shell
from lab.probes.clocks import Reading, stretches, translate
from lab.probes.detached import Detached
from lab.probes.toolbox import Toolbox

# argv: MAC address. Frames to everybody from it, each as a line: when, what; before and after them the time alone.
LISTEN = r"""
import signal, socket, sys, time
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("%.6f end" % time.time(), flush=True)))
print("%.6f up" % time.time(), flush=True)
while True:
    frame = sock.recv(256)
    if frame[6:12] != mac or not frame[0] & 1:
        continue
    what = frame[12:14].hex()
    if what == "8035":
        what = "rarp"
    elif what == "0806":
        what = "gratuitous-arp" if frame[28:32] == frame[38:42] else "arp"
    print("%.6f %s" % (time.time(), what), flush=True)
"""
_LINE = re.compile(r"^(\d{1,12}\.\d+) (\S+)$", re.M)
_MARKS = ("up", "end")
ANNOUNCING = ("rarp", "gratuitous-arp")


@dataclass(frozen=True)
class Announcement:
    """`at` by the harness' clock; `what` is "rarp", "gratuitous-arp", "arp" or the Ethernet type in hex."""

    at: float
    what: str


@dataclass(frozen=True)
class Heard:
    """All frames to everybody that a guest's MAC address sent while somebody listened at `place`; `when` says since
    when, if not for all of that time."""

    place: str
    mac: str
    frames: tuple[Announcement, ...]
    when: str = ""

    def since_move(self, moment: float) -> Heard:
        """What came after a move (harness' clock): a port that is new is announced as well, and again seconds later."""
        later = tuple(frame for frame in self.frames if frame.at >= moment)
        return replace(self, frames=later, when=" since it moved")

    @property
    def announcing(self) -> tuple[Announcement, ...]:
        """Those that are sent to be learned from."""
        return tuple(frame for frame in self.frames if frame.what in ANNOUNCING)

    def __str__(self) -> str:
        kinds = sorted({frame.what for frame in self.frames})
        counted = [f"{sum(f.what == kind for f in self.frames)} {kind}" for kind in kinds]
        return f"{self.place} heard from {self.mac}{self.when}: {', '.join(counted) or 'nothing to everybody'}"


def read_heard(
    text: str, place: str, mac: str, began: tuple[float, float], ended: tuple[float, float] = (0.0, inf)
) -> Heard:
    """What LISTEN printed; it was started and stopped by commands that took from when to when (harness' clock).

    Raises Inconclusive for a text that does not begin with its `up`."""
    lines = [(float(at), what) for at, what in _LINE.findall(text)]
    if not lines or lines[0][1] != "up":
        raise Inconclusive(f"what {place} heard from {mac}", repr(text[-200:]), place, "repeat it")
    asked = {"up": began, "end": ended}
    clock = stretches([Reading(*asked[what], at) for at, what in lines if what in _MARKS])
    frames = [(at, what) for at, what in lines if what not in _MARKS]
    times = translate([at for at, _ in frames], clock).times
    return Heard(place, mac, tuple(Announcement(at, what) for at, (_, what) in zip(times, frames, strict=True)))


class Listener:
    """Somebody who listens from start() to stop()."""

    def __init__(self, shell: Shell, tools: Toolbox, mac: str) -> None:
        self._tools = tools
        self._place, self._mac = shell.place, mac
        self._job = Detached(shell, f"a listener for announcements of {mac}")
        self._began = (0.0, 0.0)

    def start(self, deadline: Deadline) -> None:
        """Returns when it listens. Raises ToolMissing, ProbeNotStarted (may the user open a packet socket?)."""
        if "python3" not in self._tools.has:
            raise ToolMissing("python3 to hear announcements with", "none", self._place, "install python3 there")
        words = ["python3", "-c", LISTEN, self._mac]
        words = ["sudo", "-n", *words] if "sudo" in self._tools.has else words
        asked = now()
        self._job.start(words, running="up", deadline=deadline)
        self._began = (asked, now())

    def stop(self, deadline: Deadline) -> Heard:
        """What was heard. Raises Inconclusive, GuestUnreachable."""
        asked = now()
        text = self._job.stop(signal="TERM", deadline=deadline).stdout
        return read_heard(text, self._place, self._mac, self._began, (asked, now()))
