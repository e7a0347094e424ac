"""The floor: the lab's guest, started by nothing but this script in namespaces of its own, until SSH answers.

Run through unshare: python -m tests.bench.bareguest, a plan as JSON on stdin; prints the seconds from QEMU's start to
the banner.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

FDS = (20, 21, 22)
"""QEMU's sockets: monitor, serial port, guest agent."""
BANNER = """\
address=$1
ping -n -q -c 1 -i 0.01 -w 60 "$address" >/dev/null 2>&1
until busybox nc -w 2 "$address" 22 </dev/null 2>/dev/null | grep -q -m 1 ^SSH-; do busybox usleep 10000; done
"""
"""The probe, from the gateway, the same for both sides: a ping each 10 ms, then a connection each 10 ms."""


def probe(address: str) -> list[str]:
    """The argv of the probe; it ends with SSH's banner."""
    return ["sh", "-c", BANNER, "probe", address]


def _network(plan: dict[str, Any]) -> None:
    for line in (
        "link set lo up",
        f"tuntap add dev {plan['tap']} mode tap",
        f"link set {plan['tap']} up",
        f"addr add {plan['gateway']}/24 dev {plan['tap']}",
        # ARP would be asked once a second only, which is no property of the guest.
        f"neigh replace {plan['address']} lladdr {plan['mac']} dev {plan['tap']} nud permanent",
    ):
        subprocess.run(["ip", *line.split()], check=True)


def _sockets() -> list[socket.socket]:
    made = []
    for fd in FDS:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"\0virtlab-bench-{fd}")
        listener.listen()
        os.dup2(listener.fileno(), fd)
        made.append(listener)
    return made


def main() -> None:
    """Measure once."""
    plan = json.load(sys.stdin)
    _network(plan)
    kept = _sockets()
    asking = subprocess.Popen(probe(plan["address"]))
    began = time.monotonic()
    with subprocess.Popen(plan["argv"], pass_fds=FDS, stdin=subprocess.DEVNULL, stdout=sys.stderr) as qemu:
        try:
            asking.wait(60)
            print(time.monotonic() - began)
        finally:
            qemu.kill()
            asking.kill()
    del kept


if __name__ == "__main__":
    main()
