"""A guest's serial port: read for its whole life, written to a bounded log, shown to one client at a time.

A new client evicts the old one without a close frame, as virt-handler does (pkg/virt-handler/rest/console.go);
only binary messages are data.  Nothing is replayed.  What the guest prints is never interpreted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from aiohttp import WSMsgType, web

log = logging.getLogger(__name__)
PROTOCOL = "plain.kubevirt.io"
LOG_BYTES = 4 * 2**20
CHUNK = 10240
BACKLOG = 256
SLOW_SECONDS = 5.0
"""A client that takes nothing for this long is dropped: a stuck reader must not stop the guest."""


class _Client:
    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request, self.socket = request, socket
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)

    def evict(self) -> None:
        # A close frame would tell the client that all is well: upstream just closes the connection.
        if self.request.transport is not None:
            self.request.transport.abort()


class Console:
    """The serial port of one guest; ``file`` is its log, kept with one predecessor of at most 4 MiB."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._client: _Client | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def attach(self, path: Path) -> None:
        """Connect to QEMU's socket and read until it closes."""
        reader, self._writer = await asyncio.open_unix_connection(str(path))
        self._task = asyncio.create_task(self._pump(reader), name=f"console {self.file.name}")

    async def close(self) -> None:
        """Drop the client and the guest."""
        if self._client:
            self._client.evict()
        if self._writer:
            self._writer.close()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                self._record(data)
                await self._show(data)
        if self._client:
            self._client.evict()

    def _record(self, data: bytes) -> None:
        try:
            if self.file.exists() and self.file.stat().st_size + len(data) > LOG_BYTES:
                self.file.replace(self.file.with_suffix(".log.1"))
            with self.file.open("ab") as output:
                output.write(data)
        except OSError as error:
            log.warning("console log %s: %s", self.file, error)

    async def _show(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await client.queue.put(data)
        except TimeoutError:
            client.evict()
            if self._client is client:
                self._client = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a websocket request until either side ends or a newer client comes."""
        socket = web.WebSocketResponse(protocols=(PROTOCOL,), autoping=True)
        await socket.prepare(request)
        client = _Client(request, socket)
        if self._client:
            self._client.evict()
        self._client = client
        sending = asyncio.create_task(self._send(client))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY and self._writer and self._client is client:
                    self._writer.write(message.data)
                    await self._writer.drain()
        except ConnectionError:
            pass
        finally:
            sending.cancel()
            if self._client is client:
                self._client = None
        return socket

    async def _send(self, client: _Client) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await client.socket.send_bytes(await client.queue.get())
