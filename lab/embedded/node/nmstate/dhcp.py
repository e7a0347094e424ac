"""DHCPv4 clients of a node: one ``udhcpc`` per interface, run and stopped here.

A client outlives a restart of the agent; its pid file says which interface it serves, and whether it still runs is
asked of the kernel. The address is set by the hook script with its lease time, so that it reads back as dynamic.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from lab.embedded.errors import LabError
from lab.embedded.host.command import spawn

HOOK = """\
case "$1" in
  deconfig)
    ip -4 addr flush dev "$interface" dynamic
    ip link set dev "$interface" up
    ;;
  bound|renew)
    ip -4 addr replace "$ip/${mask:-24}" dev "$interface" valid_lft "${lease:-3600}" preferred_lft "${lease:-3600}"
    for gateway in $router; do
      ip -4 route replace default via "$gateway" dev "$interface" proto dhcp
      break
    done
    echo "$ip" > "$VIRTLAB_LEASE"
    ;;
esac
"""


class DhcpClients:
    """The clients of one node; files live in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _pid(self, name: str) -> int | None:
        """The pid of the client of ``name`` when it runs; a pid that now is something else does not count."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / f"{name}.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"udhcpc" in words and name.encode() in words:
                return pid
        return None

    def running(self) -> frozenset[str]:
        """Interfaces with a live client."""
        return frozenset(p.stem for p in self.folder.glob("*.pid") if self._pid(p.stem) is not None)

    async def start(self, name: str, wait: float) -> bool:
        """Start a client and give it ``wait`` seconds for a lease; it goes on trying afterwards.

        Returns whether it has one. Raises LabError without busybox.
        """
        busybox = shutil.which("busybox")
        if busybox is None:
            raise LabError("wanted a DHCP client for " + name, "no busybox on PATH", advice="install busybox-static")
        self.folder.mkdir(parents=True, exist_ok=True)
        lease, hook = self.folder / f"{name}.lease", self.folder / "hook"
        lease.unlink(missing_ok=True)
        hook.write_text(f"#!{busybox} sh\n{HOOK}")
        hook.chmod(0o755)
        argv = [busybox, "udhcpc", "-f", "-i", name, "-s", str(hook), "-t", "3", "-T", "1", "-A", "3", "-R"]
        process = await spawn(argv, env={"VIRTLAB_LEASE": str(lease)})
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        deadline = asyncio.get_running_loop().time() + wait
        while not lease.exists():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            # The hook script has no other way to tell than its file; the client ending is told at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), min(0.05, left))
                return lease.exists()
        return True

    async def stop(self, name: str) -> None:
        """End the client of ``name``; none is no error."""
        pid = self._pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)
