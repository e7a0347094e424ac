"""Places for probes' tests: this machine as a guest, with pings that behave as a test wants."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.result import CommandResult

GONE_S = 5.0
IPUTILS = """#!{python}
import signal, sys, time
if "-V" in sys.argv: sys.exit(print("ping from iputils 20221126"))
if "{user}" and float(sys.argv[sys.argv.index("-i") + 1]) < 0.2:
    sys.exit("ping: cannot flood, minimal interval for user must be >= 200 ms, use -i 0.2 (or higher)")
sent, got, began = 0, 0, time.time()
def end(*_):
    print()
    lasted = (time.time() - began) * 1000
    print("--- 10.0.0.1 ping statistics ---")
    print(f"{{sent}} packets transmitted, {{got}} received, 0% packet loss, time {{lasted:.0f}}ms")
    sys.exit(0)
signal.signal(signal.SIGINT, {end})
print("PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.", flush=True)
for n in range(1, 100000):
    sent = n
    if {answers}:
        got += 1
        print(f"[{{time.time():.6f}}] 64 bytes from 10.0.0.1: icmp_seq={{n}} ttl=64 time=1.00 ms", flush=True)
    time.sleep({interval})
"""
BUSYBOX = """#!{python}
import signal, sys, time
if "-V" in sys.argv: sys.exit("ping: invalid option -- 'V'\\nBusyBox v1.35.0 multi-call binary.")
if "-D" in sys.argv or "-n" in sys.argv: sys.exit("ping: invalid option")
sent = got = 0
def end(*_):
    print("\\n--- 10.0.0.1 ping statistics ---")
    print(f"{{sent}} packets transmitted, {{got}} packets received, 0% packet loss")
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("PING 10.0.0.1 (10.0.0.1): 56 data bytes", flush=True)
for n in range(100000):
    sent = n + 1
    if {answers}:
        got += 1
        print(f"64 bytes from 10.0.0.1: seq={{n}} ttl=64 time=1.000 ms", flush=True)
    time.sleep(0.01)
"""
TS = """#!{python}
import sys, time
assert sys.argv[1] == "%.s"
for line in sys.stdin:
    sys.stdout.write(f"{{time.time():.6f}} {{line}}")
"""
"""As busybox has it: what it stamps is kept until there is a lot, or an end."""

RELAY = """
import socket, sys, threading, os
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def out():
    while data := s.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536):
    s.sendall(data)
"""


class Here:
    """A guest that is this machine, with programs of the test's before its own."""

    place = "guest demo/a"

    def __init__(self, programs: Path, **path: str) -> None:
        self.programs = programs
        self._path = path.get("path") or os.environ["PATH"]

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        env = {"PATH": f"{self.programs}:{self._path}", "TMPDIR": str(self.programs)}
        return process.run(argv, deadline=deadline, place=self.place, env=env)

    def close(self) -> None:
        pass

    def left(self) -> list[str]:
        """What a probe left behind: folders, and programs in them once those that are killed had time to be gone."""
        end = time.monotonic() + GONE_S
        while (found := self._left()) and time.monotonic() < end:
            time.sleep(0.01)
        return found

    def _left(self) -> list[str]:
        found = [path.name for path in self.programs.glob("virtlab-probe.*")]
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "cwd").readlink().is_relative_to(self.programs):
                    found.append((folder / "cmdline").read_text().replace("\0", " ").strip())
        return found
