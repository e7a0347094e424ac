"""NetworkManager on demand: the node's system bus is listened to here, and the first client brings it up.

Clients are joined to the real bus byte by byte; nothing that they say is read.  The stay ends when nobody has been
connected for a while and NetworkManager has nothing of its own to keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from lab.embedded.errors import LabError
from lab.embedded.node.networkmanager import files, monitor
from lab.embedded.node.networkmanager.session import Session
from lab.embedded.node.nmstate.apply import Node

log = logging.getLogger(__name__)
SYSTEM_BUS = Path("/run/dbus/system_bus_socket")
LINGER_SECONDS = 2.0
LONGEST_SECONDS = 60.0
CHUNK = 64 * 1024


class NetworkManager:
    """Component of a node agent. No policy is applied to ``node`` while the NIC changes hands.

    ``changed`` is told when it did; ``reconnect`` when the node has its ``address`` again after NetworkManager took it
    away: connections from before wait for a retransmission that is as late as the outage was long.
    """

    def __init__(
        self,
        folder: Path,
        node: Node,
        address: str,
        *,
        changed: Callable[[], None],
        reconnect: Callable[[], Awaitable[None]],
        socket: Path = SYSTEM_BUS,
    ) -> None:
        self.socket = socket
        self._address = address
        self._changed, self._reconnect = changed, reconnect
        self.session = Session(folder, node.dhcp)
        node.others = self
        node.dhcp.elsewhere = lambda: self.session.links(files.leased)
        self._network = node.lock
        self._turn = asyncio.Lock()
        self._clients = 0
        self._left = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._linger = LINGER_SECONDS

    async def run(self) -> None:
        """Listen until cancelled. NetworkManager outlives the agent, as it does on a real node."""
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self.socket)
        self.socket.chmod(0o666)
        if self.session.running:
            self._watch()
        async with server:
            await self._end_when_idle()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            async with self._turn:
                if not self.session.alive:
                    async with self._network:
                        log.info("NetworkManager is asked for")
                        await self.session.begin()
                        self._watch()
                        self._changed()
            bus_reader, bus_writer = await asyncio.open_unix_connection(self.session.bus)
            await _join(reader, writer, bus_reader, bus_writer)
        except (LabError, OSError) as error:
            log.error("NetworkManager: %s", error)
        finally:
            writer.close()
            self._clients -= 1
            self._linger = LINGER_SECONDS
            self._left.set()

    async def _end_when_idle(self) -> None:
        self._left.set()
        while True:
            await self._left.wait()
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    # Somebody came and left meanwhile: the time begins anew.
                    await self._left.wait()
                    continue
            if self._clients or not self.session.running:
                continue
            if not await self._end(lambda: self._clients == 0):
                self._linger = min(2 * self._linger, LONGEST_SECONDS)
                self._left.set()

    def _watch(self) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._follow(), name="address of the node")

    async def _follow(self) -> None:
        async with contextlib.aclosing(monitor.regained(self._address)) as times:
            async for _ in times:
                log.info("%s is back", self._address)
                self._changed()
                await self._reconnect()

    async def release(self) -> None:
        await self._end(lambda: True)

    def held(self) -> frozenset[str]:
        return self.session.links(files.managed)

    async def _end(self, wanted: Callable[[], bool]) -> bool:
        """End the stay if NetworkManager has nothing to keep; whether there is none now."""
        async with self._turn, self._network:
            try:
                # Nobody else would renew its leases.
                await self.session.resume()
                if self.session.running:
                    if not wanted() or not await self.session.idle():
                        return False
                    if self._watcher is not None:
                        self._watcher.cancel()
                    await self.session.end()
                    self._changed()
                    log.info("NetworkManager has nothing to keep and is gone")
            except (LabError, OSError) as error:
                log.warning("NetworkManager stays: %s", error)
                return False
        return True


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    bus_reader: asyncio.StreamReader,
    bus_writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until either side ends."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK):
                sink.write(data)
                await sink.drain()

    ways = {asyncio.create_task(copy(reader, bus_writer)), asyncio.create_task(copy(bus_reader, writer))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        bus_writer.close()
