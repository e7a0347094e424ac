"""KubeVirt: the target of a migration dies while the guest's memory arrives, on whichever node it is.

A process on every node waits for a QEMU that receives a guest, and sends it a signal in the middle of that.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site
from lab.embedded.faults.waiting import comes_true

# argv: signal, its own mark. A receiving QEMU that grows by 16 MiB is in the middle of it. It waits for ten minutes.
WATCH = """
import glob, os, signal, sys, time
FILES = "/run/virtlab/guests/*/qemu.pid"
number, sizes, end = int(sys.argv[1]), {}, time.monotonic() + 600
before = {file: open(file).read() for file in glob.glob(FILES)}
while time.monotonic() < end:
    for file in glob.glob(FILES):
        try:
            text = open(file).read()
            pid = int(text)
            if text == before.get(file) or b"-incoming" not in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0"):
                continue
            size = int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096
            if size - sizes.setdefault(pid, size) > 16 << 20:
                os.kill(pid, number)
                sys.exit()
        except (OSError, ValueError, IndexError):
            continue
    time.sleep(0.01)
"""
START = """
"$@" </dev/null >/dev/null 2>&1 &
echo $!
"""
GO_ON = r"""
for file in /run/virtlab/guests/*/qemu.pid; do
  [ -e "$file" ] && kill -CONT "$(cat "$file")" 2>/dev/null
done; true
"""


class TargetCrash:
    """SIGKILL: the target's QEMU is gone, and the guest must live on at its source."""

    name = "target-crash"
    layer = "kubevirt"
    summary = "the QEMU that the next guest migrates to is killed in the middle of it"
    parameters: Mapping[str, str] = {}
    signal = 9

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        watchers = {}
        for node in site.nodes:
            argv = [sys.executable, "-I", "-c", WATCH, str(self.signal), self.name]
            pid = (await site.node(node)(["sh", "-c", START, "sh", *argv])).strip()
            watchers[node] = pid
            if self.name not in await self._command(site, node, pid):
                raise FaultError(f"wanted a process on {node} that waits for a migration", f"{pid} is none")
        return {"watchers": watchers}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        for node, pid in saved["watchers"].items():
            run = site.node(node)
            if self.name in await self._command(site, node, pid):
                await run(["kill", pid])
            if not await comes_true(partial(self._gone, site, node, pid)):
                raise FaultError(f"wanted no process on {node} that waits for a migration", f"{pid} still does")
            await run(["sh", "-c", GO_ON])

    async def _gone(self, site: Site, node: str, pid: str) -> bool:
        return self.name not in await self._command(site, node, pid)

    async def _command(self, site: Site, node: str, pid: str) -> str:
        return await site.node(node)(["sh", "-c", 'cat "/proc/$1/cmdline" 2>/dev/null || true', "sh", pid])
