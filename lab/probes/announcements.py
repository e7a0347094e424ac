"""What tells a network that a guest is somewhere else now: RARP and gratuitous ARP with its MAC address, as packets.

Heard on a host in the guest's network while the guest moves: what arrives there has passed every switch on the way, and
they have learned from it. Any other frame of the guest teaches them as well, but only if the guest happens to speak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ToolMissing
from lab.guest.shell import Shell
from lab.probes.detached import Detached
from lab.probes.toolbox import Toolbox

# argv: MAC address. Frames to everybody from it, each as a line: when, what.
LISTEN = r"""
import signal, socket, sys, time
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
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
ANNOUNCING = ("rarp", "gratuitous-arp")


@dataclass(frozen=True)
class Announcement:
    """`at` by the listening host's clock; `what` is "rarp", "gratuitous-arp", "arp" or the Ethernet type in hex."""

    at: float
    what: str


@dataclass(frozen=True)
class Heard:
    """All frames to everybody that a guest's MAC address sent while somebody listened at `place`."""

    place: str
    mac: str
    frames: tuple[Announcement, ...]

    @property
    def announcing(self) -> tuple[Announcement, ...]:
        """Those that are sent to be learned from."""
        return tuple(frame for frame in self.frames if frame.what in ANNOUNCING)

    def __str__(self) -> str:
        kinds = sorted({frame.what for frame in self.frames})
        counted = [f"{sum(f.what == kind for f in self.frames)} {kind}" for kind in kinds]
        return f"{self.place} heard from {self.mac}: {', '.join(counted) or 'nothing to everybody'}"


def read_heard(text: str, place: str, mac: str) -> Heard:
    """What LISTEN printed. Raises Inconclusive for a text that does not begin with its `up`."""
    if not text.startswith("up\n"):
        raise Inconclusive(f"what {place} heard from {mac}", repr(text[-200:]), place, "repeat it")
    return Heard(place, mac, tuple(Announcement(float(at), what) for at, what in _LINE.findall(text)))


class Listener:
    """Somebody who listens from start() to stop()."""

    def __init__(self, shell: Shell, tools: Toolbox, mac: str) -> None:
        self._tools = tools
        self._place, self._mac = shell.place, mac
        self._job = Detached(shell, f"a listener for announcements of {mac}")

    def start(self, deadline: Deadline) -> None:
        """Returns when it listens. Raises ToolMissing, ProbeNotStarted (may the user open a packet socket?)."""
        if "python3" not in self._tools.has:
            raise ToolMissing("python3 to hear announcements with", "none", self._place, "install python3 there")
        words = ["python3", "-c", LISTEN, self._mac]
        words = ["sudo", "-n", *words] if "sudo" in self._tools.has else words
        self._job.start(words, running="up", deadline=deadline)

    def stop(self, deadline: Deadline) -> Heard:
        """What was heard. Raises Inconclusive, GuestUnreachable."""
        return read_heard(self._job.stop(signal="TERM", deadline=deadline).stdout, self._place, self._mac)
