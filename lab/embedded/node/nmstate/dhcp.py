"""DHCPv4 clients of a node: one ``udhcpc`` per interface, run and stopped here.

A client outlives a restart of the agent; its pid file says which interface it serves, and whether it still runs is
asked of the kernel. The address is set by the hook script with its lease time, so that it reads back as dynamic. It
must not decide which interface has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from lab.embedded.errors import LabError
from lab.embedded.host.command import spawn

# A lease is kept as `ADDRESS/PREFIX EXPIRY GATEWAY`, the expiry in seconds since 1970.
HOOK = """\
take() {
  left=$(($2 - $(date +%s)))
  [ "$left" -gt 0 ] || return 0
  ip -4 addr replace "$1" brd + dev "$interface" valid_lft "$left" preferred_lft "$left"
  [ -z "$3" ] || ip -4 route replace default via "$3" dev "$interface" proto dhcp
  echo "$1 $2 $3" > "$VIRTLAB_LEASE.new" && mv "$VIRTLAB_LEASE.new" "$VIRTLAB_LEASE"
}
case "$1" in
  deconfig)
    ip -4 addr flush dev "$interface" dynamic
    ip link set dev "$interface" up
    ;;
  bound|renew)
    take "$ip/${mask:-24}" "$(($(date +%s) + ${lease:-3600}))" "${router%% *}"
    ;;
  leasefail)
    # RFC 2131, 3.2: without an answer a client may use a lease that it had for the remainder of its time.
    if [ -f "$VIRTLAB_LEASE.kept" ]; then
      read -r address expiry gateway < "$VIRTLAB_LEASE.kept"
      take "$address" "$expiry" "$gateway"
    fi
    ;;
esac
"""


class DhcpClients:
    """The clients of one node; files live in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.elsewhere: Callable[[], frozenset[str]] = frozenset
        """Interfaces that somebody else's client serves."""

    @classmethod
    def beneath(cls, folder: Path) -> DhcpClients:
        """Those of the node whose nmstate handler keeps its files in ``folder``."""
        return cls(folder / "dhcp")

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

    def serving(self) -> frozenset[str]:
        """Interfaces whose address comes by DHCP, whoever asks for it."""
        return self.running() | self.elsewhere()

    async def start(self, name: str, wait: float, *, resume: bool = False) -> str:
        """Start a client and give it ``wait`` seconds for a lease; it goes on trying afterwards.

        With ``resume`` it takes up the lease that the interface had, also when no server answers.
        Returns the address with its prefix, empty without one. Raises LabError without busybox.
        """
        busybox = shutil.which("busybox")
        if busybox is None:
            raise LabError("wanted a DHCP client for " + name, "no busybox on PATH", advice="install busybox-static")
        self.folder.mkdir(parents=True, exist_ok=True)
        lease, hook = self.folder / f"{name}.lease", self.folder / "hook"
        kept = lease.with_name(f"{lease.name}.kept")
        if not resume:
            kept.unlink(missing_ok=True)
            lease.unlink(missing_ok=True)
        elif lease.exists():
            lease.replace(kept)
        hook.write_text(f"#!{busybox} sh\n{HOOK}")
        hook.chmod(0o755)
        tries = "1" if kept.exists() else "3"
        argv = [busybox, "udhcpc", "-f", "-i", name, "-s", str(hook), "-t", tries, "-T", "1", "-A", "3", "-R"]
        process = await spawn(argv, env={"VIRTLAB_LEASE": str(lease)})
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        deadline = asyncio.get_running_loop().time() + wait
        while not lease.exists():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or process.returncode is not None:
                return ""
            # The hook script has no other way to tell than its file; the client ending is told at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), min(0.02, left))
        return lease.read_text().split()[0]

    async def revive(self, wait: float) -> None:
        """Start those again that nobody stopped and that run no more: they were killed with all of the node."""
        for name in sorted(path.stem for path in self.folder.glob("*.pid")):
            if self._pid(name) is None:
                await self.start(name, wait, resume=True)

    async def stop(self, name: str) -> None:
        """End the client of ``name``; none is no error. Its lease is kept, for a ``start`` that resumes."""
        pid = self._pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)
