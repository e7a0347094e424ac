"""What really passed the lab's switch: every ICMP echo on one of its ports, stamped by the kernel.

Run as a program in the switch's namespace it prints a line per echo: time, source, destination, type (8 asked, 0
answered), identifier, sequence number. It shares nothing with the probes but the packets.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.embedded.lifecycle import enter
from lab.embedded.lifecycle.layout import Layout

ALL_FRAMES = 3
TIMESTAMPS = 35
"""SO_TIMESTAMPNS (asm-generic/socket.h): seconds and nanoseconds as two 64-bit words."""


@dataclass(frozen=True)
class Echo:
    at: float
    source: str
    destination: str
    kind: int
    ident: int
    seq: int


def main() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((sys.argv[1], 0))
        print("ready", flush=True)
        lines = []
        # Kept until stdin ends: nobody reads a pipe meanwhile, and a signal would end with nsenter, which forked.
        while sys.stdin not in select.select([sock, sys.stdin], [], [])[0]:
            frame, extra, _, _ = sock.recvmsg(256, 128)
            if (echo := read(frame)) is not None:
                seconds, nanos = struct.unpack("qq", extra[0][2])
                lines.append(" ".join(map(str, (f"{seconds}.{nanos:09d}", *echo))))
        print("\n".join(lines))


def read(frame: bytes) -> tuple[str, str, int, int, int] | None:
    """Source, destination, type, identifier, sequence number of an untagged ICMP echo."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_ICMP:
        return None
    icmp = frame[14 + (frame[14] & 15) * 4 :]
    if len(icmp) < 8 or icmp[0] not in (0, 8):
        return None
    ident, seq = struct.unpack("!HH", icmp[4:8])
    return socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34]), icmp[0], ident, seq


class Capture:
    """A capture at a port of a lab's switch, from start() to stop()."""

    def __init__(self, lab: str, port: str) -> None:
        facts = enter.require_up(Layout(lab))
        inside = ["nsenter", "--net=/run/netns/tor", "--", sys.executable, str(Path(__file__).resolve()), port]
        self._argv = enter.argv_inside(facts, inside)

    def start(self) -> None:
        self._child = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"

    def stop(self) -> list[Echo]:
        text, _ = self._child.communicate(timeout=10)
        return [
            Echo(float(at), source, destination, int(kind), int(ident), int(seq))
            for at, source, destination, kind, ident, seq in map(str.split, text.splitlines())
        ]


def longest_gap_ms(times: list[float], interval_ms: float) -> float:
    """The longest silence between two packets, less the interval at which they usually come."""
    return max(b - a for a, b in itertools.pairwise(times)) * 1000 - interval_ms


if __name__ == "__main__":
    main()
