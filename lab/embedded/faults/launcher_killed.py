"""KubeVirt: a VM's QEMU ends at once, as when the kernel is out of memory and picks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.guest import VM, existing, find
from lab.embedded.faults.site import Site
from lab.embedded.faults.waiting import comes_true


class LauncherKilled:
    """SIGKILL. The platform starts the VM anew if it is told to run always: there is nothing to heal."""

    name = "launcher-killed"
    layer = "kubevirt"
    summary = "a VM's QEMU is killed"
    parameters: Mapping[str, str] = VM

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        guest = await existing(site, arguments)
        await guest.run(["kill", "-KILL", guest.pid])

        async def gone() -> bool:
            again = await find(site, arguments["vm"])
            return again is None or (again.node, again.pid) != (guest.node, guest.pid)

        # It ends when it next gets a processor, and its memory has been given back.
        if not await comes_true(gone):
            raise FaultError(f"wanted QEMU of {arguments['vm']} gone", f"process {guest.pid} on {guest.node} goes on")
        return {"node": guest.node, "pid": guest.pid}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        return None
