"""Connectivity that a configuration must not cost the node (kubernetes-nmstate pkg/probe/probes.go).

``ping`` of the default gateway and ``dns`` are required only when they worked before; the API server and the
node's readiness always. The texts, misspelling included, are upstream's. It must not change anything.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections.abc import Awaitable, Callable, Sequence

from lab.embedded.host.command import CommandFailed, run
from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import NAMESPACE, NODE
from lab.embedded.node.nmstate.apply import as_yaml
from lab.embedded.node.nmstate.errors import ApplyError
from lab.embedded.node.nmstate.model import Host, Route
from lab.embedded.node.nmstate.settings import Settings

ATTEMPT_SECONDS = 3.0
POLL_SECONDS = 1.0
MAIN_TABLE = 254


class NodeProbes:
    """The probes of one node."""

    def __init__(self, kube: Kube, node: str, settings: Settings) -> None:
        self.kube, self.node, self.settings = kube, node, settings

    async def select(self, host: Host) -> Sequence[str]:
        """Names of the probes that pass now, plus the two that are always required."""
        chosen: list[str] = []
        if default_gateway(host) is not None and await self._ping(host):
            chosen.append("ping")
        if host.dns_servers and await self._dns(host):
            chosen.append("dns")
        return [*chosen, "api-server", "node-readiness"]

    async def run(self, names: Sequence[str], read: Callable[[], Awaitable[Host]]) -> str:
        """Run the named probes in order, each for at most the set time; the first failure as a text, else empty."""
        try:
            before = await read()
        except ApplyError as failure:
            return f"failed to retrieve currentState at runProbes: {failure}"
        for name in names:
            if not await self._until(name, read):
                return (
                    f"failed runnig probe '{name}' with after network reconfiguration -> currentState: "
                    f"{as_yaml(before)}: context deadline exceeded"
                )
        return ""

    async def reconnect(self) -> None:
        """Give up all connections to the API that are there now; whoever used one sees it fail and asks again."""
        await self.kube.close()

    async def _until(self, name: str, read: Callable[[], Awaitable[Host]]) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.probe_seconds
        while True:
            began = loop.time()
            if await self._once(name, read):
                return True
            pause = max(0.0, began + POLL_SECONDS - loop.time())
            if loop.time() + pause >= deadline:
                return False
            await asyncio.sleep(pause)

    async def _once(self, name: str, read: Callable[[], Awaitable[Host]]) -> bool:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                if name == "api-server":
                    return await self._api()
                if name == "node-readiness":
                    return await self._ready()
                host = await read()
                return await self._ping(host) if name == "ping" else await self._dns(host)
        except (TimeoutError, OSError, KubeError, ApplyError):
            return False

    async def _api(self) -> bool:
        # A connection of its own: one that is kept alive could still be served from before the change.
        async with self.kube.apart() as kube:
            await kube.get(NAMESPACE, "default")
        return True

    async def _ready(self) -> bool:
        async with self.kube.apart() as kube:
            node = await kube.get(NODE, self.node)
        conditions = node.get("status", {}).get("conditions", ())
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    async def _ping(self, host: Host) -> bool:
        route = default_gateway(host)
        if route is None:
            return False
        try:
            result = await run(["ping", "-I", route.dev, "-c", "1", "-W", "1", route.via], check=False, timeout=5.0)
        except CommandFailed:
            return False
        return result.returncode == 0

    async def _dns(self, host: Host) -> bool:
        name = os.environ.get("PROBE_DNS_HOST", "root-servers.net")
        for server in host.dns_servers:
            try:
                async with asyncio.timeout(1.0):
                    return await _ask(server, name)
            except (TimeoutError, OSError):
                continue
        return False


def default_gateway(host: Host) -> Route | None:
    """The default route of the main table, as the ping probe picks it."""
    found = [r for r in host.routes if r.destination == "0.0.0.0/0" and r.table == MAIN_TABLE and r.via]
    return min(found, key=lambda r: r.metric) if found else None


async def _ask(server: str, name: str) -> bool:
    """One DNS question over UDP; any answer with the same id and no error counts."""
    number = random.randrange(1 << 16)  # noqa: S311  an id, not a secret
    kind = 2 if name == "root-servers.net" else 1
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split("."))
    question = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(Once, remote_addr=(server, 53))
    try:
        transport.sendto(question)
        data = await answer
    finally:
        transport.close()
    return len(data) >= 12 and data[:2] == question[:2] and data[3] & 0x0F == 0
