"""One guest on this node, from the arguments of its QEMU to its end: process, wire, console, agent.

It knows QEMU and the pod's namespace, and calls back when something changed.  What that means for objects
of the API is decided by the handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.embedded.node.agentview import AgentView
from lab.embedded.node.binding import Bindings
from lab.embedded.node.console import Console
from lab.embedded.node.containers import LogFile
from lab.embedded.node.domain import Domain, Host, Nic, qemu_argv
from lab.embedded.node.launcher import Launcher
from lab.embedded.node.migration import Progress
from lab.embedded.node.qemu import Event, Qemu, QemuFailed

log = logging.getLogger(__name__)
Obj = dict[str, Any]
POWERDOWN_SECONDS = 2.0
TOLD = frozenset({"MIGRATION", "POWERDOWN", "RESET", "RESUME", "SHUTDOWN", "STOP", "WATCHDOG", "GUEST_PANICKED"})
"""Events of QEMU that the launcher's log tells."""


class Guest:
    """A guest in a launcher pod. ``role`` is ``owner`` or ``target`` (it waits for the guest to arrive)."""

    def __init__(self, vmi: Obj, launcher: Launcher, domain: Domain, folder: Path, changed: Callable[[], None]) -> None:
        self.vmi, self.launcher, self.domain, self.folder = vmi, launcher, domain, folder
        self.role = "owner"
        self.machine = ""
        self.nics: dict[str, Nic] = {nic.name: nic for nic in domain.nics}
        self.paused = False
        self.fresh = True
        """Started here, and what it could not do of its cloud-init data is not told yet."""
        self.moved = False
        """The guest went on at another node: what happens to this QEMU is no longer the VMI's fate."""
        self.progress: Progress | None = None
        self.sent = ""
        """UID of the last migration this node began as the source."""
        self.sending: asyncio.Task[None] | None = None
        """The source's side of it, which ends this QEMU when the guest has left."""
        self.stopping = False
        self.status: int | None = None
        """Exit status of QEMU once it ended."""
        self.resumed, self.arrived = asyncio.Event(), asyncio.Event()
        self.ended = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.view = AgentView(folder / "agent.sock", changed)
        self._changed = changed
        self._console: Console | None = None
        self._bindings = Bindings(launcher, folder, vmi["spec"]["domain"].get("devices", {}).get("interfaces") or [])
        self._qemu: Qemu | None = None

    @property
    def qemu(self) -> Qemu:
        if self._qemu is None:
            raise QemuFailed("wanted a running QEMU", "it was not started", where=self.domain.name)
        return self._qemu

    @property
    def console(self) -> Console | None:
        return self._console

    async def start(self, host: Host, files: dict[str, Path], log_file: Path, *, incoming: bool) -> None:
        """Build the wire and start QEMU. Raises LabError; nothing of QEMU is left running then."""
        self.role, self.fresh = ("target", False) if incoming else ("owner", True)
        nics = ", ".join(f"{nic.name} {nic.mac} on {nic.pod_if} ({nic.binding})" for nic in self.domain.nics)
        self.say(f"domain {self.domain.name}: {'waits for the guest of a migration' if incoming else 'starts'}; {nics}")
        await self._bindings.build(self.domain.nics)
        netns = self.launcher.netns
        self._qemu = await Qemu.start(
            self.folder, netns, lambda sockets: qemu_argv(self.domain, host, sockets, files, incoming=incoming)
        )
        self.spawn(self._follow(), "events")
        for nic in self.domain.nics:
            if not nic.up:
                await self.set_link(nic.name, up=False)
        if self.domain.serial:
            self._console = Console(log_file)
            await self._console.attach(self.folder / "serial0.sock")
        self.spawn(self.view.run(), "agent")
        kind = await self._qemu.command("qom-get", {"path": "/machine", "property": "type"})
        self.machine = str(kind).removesuffix("-machine")

    def say(self, text: str) -> None:
        """A line of the launcher's own log."""
        LogFile(self.launcher.log).write("stderr", text.encode())

    def spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        """Run something that ends with the guest."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"{name} {self.domain.name}")
        self.tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    async def set_link(self, name: str, *, up: bool) -> None:
        """The carrier the guest sees, and the cable behind it (spec.domain.devices.interfaces[].state)."""
        index = list(self.nics).index(name)
        await self.qemu.command("set_link", {"name": f"net{index}", "up": up})
        nic = self.nics[name]
        self.nics[name] = Nic(nic.name, nic.pod_if, nic.mac, nic.binding, nic.pod_network, up, nic.mtu)

    async def shut_down(self, grace: float) -> None:
        """Ask the guest to power off, by its agent and by ACPI; after ``grace`` seconds end it."""
        if self.stopping or self.status is not None:
            return
        self.stopping = True
        with contextlib.suppress(QemuFailed, TimeoutError):
            if self.paused:
                await self.qemu.command("cont")
            if self.view.connected:
                await self.view.agent.tell("guest-shutdown", {"mode": "powerdown"})
            await self.qemu.command("system_powerdown")
            async with asyncio.timeout(grace):
                await self.ended.wait()
                return
        await self.quit()

    async def quit(self) -> None:
        """End QEMU at once."""
        self.stopping = True
        if self._qemu is None:
            return
        with contextlib.suppress(QemuFailed, TimeoutError):
            async with asyncio.timeout(POWERDOWN_SECONDS):
                await self._qemu.command("quit")
                await self.ended.wait()
        await self._qemu.kill()

    async def close(self) -> None:
        """End everything of the guest: QEMU, console, agent, servers, tasks."""
        await self.quit()
        await self.drop_console()
        for task in list(self.tasks):
            if task is not asyncio.current_task():
                task.cancel()
        await self.view.close()
        await self._bindings.close()

    async def drop_console(self) -> None:
        if self._console:
            await self._console.close()
            self._console = None

    async def _follow(self) -> None:
        async for event in self.qemu.events():
            try:
                await self._event(event)
            except QemuFailed as error:
                log.warning("%s: %s: %s", self.domain.name, event.get("event"), error)
        self.status = await self.qemu.wait()
        why = self.qemu.exit_reason
        self.say(f"domain {self.domain.name}: QEMU ended with status {self.status}{f' ({why})' if why else ''}")
        self.ended.set()
        self._changed()

    async def _event(self, event: Event) -> None:
        name, data = event.get("event"), event.get("data") or {}
        if name in TOLD:
            what = ", ".join(f"{key} {value}" for key, value in data.items())
            self.say(f"domain {self.domain.name}: {name} {what}".rstrip())
        if self.progress is not None:
            await self.progress.event(event)
        if name == "VSERPORT_CHANGE":
            self.view.port(bool(data.get("open")))
        elif name == "RESUME":
            self.resumed.set()
            self._set_paused(False)
        elif name == "MIGRATION" and data.get("status") == "completed" and self.role == "target":
            self.resumed.set()
            self.arrived.set()
        elif name == "STOP" and self.progress is None:
            self._set_paused(True)

    def _set_paused(self, paused: bool) -> None:
        if self.paused != paused:
            self.paused = paused
            self._changed()

    @property
    def succeeded(self) -> bool:
        """Whether the end was orderly: the guest's own power-off, or ours."""
        return self.status == 0 and (self.stopping or self.qemu.exit_reason in ("guest-shutdown", "host-qmp-quit"))
