"""A guest's way between two QEMUs: the parameters, the socket, and what is said of its progress.

The socket is made in the node's namespace, on the machine network, and handed to QEMU as a descriptor:
QEMU itself lives in the pod's namespace, from which that network cannot be reached.  What the figures
mean for objects of the API is decided by the guests' keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.node.names import quantity
from lab.embedded.node.qemu import Qemu, QemuFailed

log = logging.getLogger(__name__)
Obj = dict[str, Any]
DOWNTIME_MS = 300
GIB, MIB = 2**30, 2**20
COHERENT = (9, 0)
"""The first QEMU whose TCG loses no writes in further passes."""
# With TCG, earlier ones lose writes of the guest to pages that they send alive after a synchronisation of the dirty
# bitmap while the processor runs (a TLB entry may lose its not-dirty mark to a concurrent store): a guest that is busy
# with a virtqueue ends in `soft lockup` or a broken allocator, seen in one of five migrations.  So the guest stands
# still for the first synchronisation, and there is one pass only: it is slowed down before its end, and then QEMU is
# allowed any pause, which makes it stop the guest after the second synchronisation and send what is left.
FAST_BYTES, SLOW_BYTES = 96 * MIB, 32 * MIB
"""Bandwidth per second under TCG, and of the end of an only pass: sending takes time from the guest's processor."""
SLOW_BELOW, LAST_BELOW = 24 * MIB, 4 * MIB
"""What is left to send when an only pass is slowed down, and when QEMU may stop an emulated guest."""
ANY_PAUSE_MS, NO_PAUSE_MS = 60_000, 1
COARSE_SECONDS, FINE_SECONDS, CALM_SECONDS = 0.05, 0.01, 0.5
DIRECT_PORT = 49152
CONNECT_S = 10.0
"""What the port on the target stands for in targetDirectMigrationNodePorts (KubeVirt's migration-proxy)."""
ABORTED = "Live migration has been aborted"


class MigrationFailed(LabError):
    """A migration that ended without the guest moving; ``reason`` is upstream's failureReason."""

    def __init__(self, reason: str, *, aborted: bool = False) -> None:
        super().__init__("wanted the guest to move", reason)
        self.reason, self.aborted = reason, aborted


@dataclass(frozen=True)
class Limits:
    """migrationConfiguration in QEMU's terms; bandwidth in bytes/s (0: none), times in seconds."""

    bandwidth: int = 0
    auto_converge: bool = False
    post_copy: bool = False
    completion: float = 150.0
    progress: float = 150.0
    downtime_ms: int = DOWNTIME_MS
    emulated: bool = False
    one_pass: bool = False
    """The accelerator loses writes in further passes: see above."""

    @classmethod
    def of(
        cls, configuration: Mapping[str, Any], memory_bytes: int, accel: str = "", version: tuple[int, int] = COHERENT
    ) -> Limits:
        """From VMI.status.migrationState.migrationConfiguration; completion grows with the guest's memory.

        *accel* and *version* (major, minor) are QEMU's."""
        emulated = accel.startswith("tcg")
        per_gib = float(configuration.get("completionTimeoutPerGiB") or 150)
        return cls(
            bandwidth=quantity(configuration.get("bandwidthPerMigration") or "0"),
            auto_converge=bool(configuration.get("allowAutoConverge")),
            post_copy=bool(configuration.get("allowPostCopy")),
            completion=max(1.0, per_gib * max(1.0, memory_bytes / GIB)),
            progress=float(configuration.get("progressTimeout") or 150),
            downtime_ms=min(DOWNTIME_MS, int(configuration.get("maxDowntimeMs") or DOWNTIME_MS)),
            emulated=emulated,
            one_pass=emulated and version < COHERENT,
        )


def capabilities(limits: Limits) -> list[Obj]:
    """The same on both sides, or QEMU refuses the stream."""
    wanted = {"events": True, "auto-converge": limits.auto_converge, "postcopy-ram": limits.post_copy}
    return [{"capability": name, "state": state} for name, state in wanted.items()]


def announcing(rounds: int = 60, step_ms: int = 50) -> Obj:
    """How a guest that moved calls out its addresses: evenly, for long enough to cover the switch of its ports."""
    # QEMU wants a step of at least 1; `max` keeps the pace even.
    return {"initial": step_ms, "max": step_ms, "rounds": rounds, "step": 1}


def sending(limits: Limits) -> Obj:
    """migrate-set-parameters of the source. No limit for QEMU is a very large one: 0 would stall it."""
    if limits.emulated:
        # Bandwidth times pause is what QEMU leaves for the end: at its own default that would be a quarter of a guest.
        bandwidth = min(limits.bandwidth or FAST_BYTES, FAST_BYTES)
        pause = NO_PAUSE_MS if limits.one_pass else min(limits.downtime_ms, max(1, LAST_BELOW * 1000 // bandwidth))
        return {"downtime-limit": pause, "max-bandwidth": bandwidth}
    return {"downtime-limit": limits.downtime_ms, "max-bandwidth": limits.bandwidth or 2**40}


def listen(address: str) -> socket.socket:
    """A socket for one incoming migration on the machine network; its port is the kernel's choice."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((address, 0))
    sock.listen(1)
    sock.setblocking(False)
    return sock


async def prepare(qemu: Qemu, limits: Limits) -> None:
    """Tell the target's QEMU what is to come, before the source is told to send. Raises QemuFailed: it cannot do it."""
    await qemu.command("migrate-set-capabilities", {"capabilities": capabilities(limits)})
    rounds = {f"announce-{key}": value for key, value in announcing().items()}
    await qemu.command("migrate-set-parameters", rounds)


def refused(said: str, printed: str) -> str:
    """The failureReason when the target's QEMU takes no such migration, as libvirt words it.

    QEMU 7.2 *prints* why it has no post-copy, and later ones answer it."""
    why = re.search(r"serfaultfd not available: .*", printed)
    more = f": U{why[0]}" if why and why[0] not in said else ""
    return f"Live migration failed: unable to execute QEMU command 'migrate-set-capabilities': {said}{more}"


async def receive(qemu: Qemu, listener: socket.socket) -> None:
    """Take one connection and let QEMU read the guest from it; returns when QEMU has begun. Raises QemuFailed."""
    connection, _peer = await asyncio.get_running_loop().sock_accept(listener)
    with connection:
        # QEMU wants a blocking socket: it makes it non-blocking itself where it needs that.
        connection.setblocking(True)
        await qemu.give("migration", connection)
    await qemu.command("migrate-incoming", {"uri": "fd:migration"})


async def offer(qemu: Qemu, address: str, port: int, limits: Limits) -> None:
    """Connect from the node's namespace, hand the connection to QEMU. Raises QemuFailed, OSError in libvirt's words."""
    await qemu.command("migrate-set-capabilities", {"capabilities": capabilities(limits)})
    await qemu.command("migrate-set-parameters", sending(limits))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except OSError as error:
            # libvirt's src/qemu/qemu_migration.c and src/rpc/virnetsocket.c.
            why = os.strerror(error.errno or errno.ETIMEDOUT)
            said = f"operation failed: unable to connect to server at '{address}:{port}': {why}"
            raise OSError(said) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        await qemu.give("migration", sock)


class Progress:
    """Watches one outgoing migration: woken by QEMU's events, and looks by itself at least twice a second."""

    def __init__(self, qemu: Qemu, limits: Limits) -> None:
        self.qemu, self.limits = qemu, limits
        self.aborting = False
        self.post_copy = False
        self.held = False
        self._slow = self._released = False
        self._woken = asyncio.Event()

    async def start(self, *, paused: bool) -> None:
        """Let QEMU write the guest into the connection it was offered. Raises QemuFailed.

        The guest stands still until QEMU has looked at all of its memory once (some milliseconds), see above.
        """
        if self.limits.one_pass and not paused:
            self.held = True
            await self.qemu.command("stop")
        await self.qemu.command("migrate", {"uri": "fd:migration"})

    async def event(self, event: Obj) -> None:
        """Take an event of QEMU."""
        if event.get("event") == "MIGRATION_PASS":
            number = int(event.get("data", {}).get("pass", 0))
            if self.held:
                self.held = False
                await self.qemu.command("cont")
            if number > 1 and self.limits.one_pass and not self._released:
                log.warning("pass %d of a migration began before QEMU was allowed to stop the guest", number)
                await self._release()
        self._woken.set()

    async def _release(self) -> None:
        self._released = True
        await self.qemu.command("migrate-set-parameters", {"downtime-limit": ANY_PAUSE_MS})

    async def _steer(self, said: Obj) -> float:
        """Bring the only pass to its end; seconds until the next look."""
        left = said.get("ram", {}).get("remaining")
        if not self.limits.one_pass or self._released or said.get("status") != "active" or left is None:
            return CALM_SECONDS
        if left < LAST_BELOW:
            await self._release()
        elif left < SLOW_BELOW:
            if not self._slow:
                self._slow = True
                slow = min(self.limits.bandwidth or SLOW_BYTES, SLOW_BYTES)
                await self.qemu.command("migrate-set-parameters", {"max-bandwidth": slow})
            return FINE_SECONDS
        return COARSE_SECONDS

    async def abort(self) -> None:
        """Ask QEMU to stop; the guest goes on where it is."""
        self.aborting = True
        await self.qemu.command("migrate_cancel")
        self._woken.set()

    async def finish(self, post_copy: Callable[[], Awaitable[None]]) -> Obj:
        """Wait for the end and return QEMU's last figures (ms, bytes); *post_copy* is called when the guest goes first
        and its memory follows. Raises MigrationFailed, QemuFailed."""
        began = moved = time.monotonic()
        least = None
        while True:
            said: Obj = await self._ask()
            status = said.get("status")
            if status == "completed":
                return await self._figures(said)
            if status in ("failed", "cancelled"):
                self._failed(said)
            now = time.monotonic()
            left = said.get("ram", {}).get("remaining")
            if left is not None and (least is None or left < least):
                least, moved = left, now
            late = self._late(now - began, now - moved)
            if late and self.limits.post_copy and not self.post_copy:
                self.post_copy = True
                await self.qemu.command("migrate-start-postcopy")
                await post_copy()
            elif late and not self.post_copy:
                with contextlib.suppress(QemuFailed):
                    await self.qemu.command("migrate_cancel")
                raise MigrationFailed(late)
            pause = await self._steer(said)
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    def _late(self, elapsed: float, still: float) -> str:
        """Why it takes too long, after so many seconds, and so many without progress; "" while it does not."""
        if elapsed > self.limits.completion:
            return f"Live migration is not completed after {self.limits.completion:.0f} seconds"
        return f"Live migration stuck for {self.limits.progress:.0f} seconds" if still > self.limits.progress else ""

    async def _figures(self, said: Obj) -> Obj:
        """QEMU says `completed` a moment before its last figures are there."""
        for _ in range(10):
            if said.get("total-time"):
                break
            await asyncio.sleep(FINE_SECONDS)
            said = await self._ask()
        return said

    async def _ask(self) -> Obj:
        try:
            said = await self.qemu.command("query-migrate")
        except QemuFailed as gone:
            raise MigrationFailed(f"Live migration failed: {gone.found}") from gone
        return dict(said)

    def _failed(self, said: Obj) -> None:
        if self.aborting or said.get("status") == "cancelled":
            raise MigrationFailed(ABORTED, aborted=True)
        raise MigrationFailed(f"Live migration failed: {said.get('error-desc') or 'QEMU names no cause'}")
