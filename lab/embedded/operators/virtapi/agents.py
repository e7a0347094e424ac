"""Requests to the node agents, which stand where virt-handler does: HTTP calls and websocket relays.

It knows where an agent is (the Node object) and how to ask it; what is asked is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp import web

from lab.embedded.kube import Obj
from lab.embedded.operators.objects import dig
from lab.embedded.operators.virtapi.answers import Refusal, internal

PROTOCOL = "plain.kubevirt.io"
CHUNK = 10240
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
PING_SECONDS = 1.0
SILENCE_SECONDS = 60.0
MOST_BYTES = 16 << 20
"""Of one message, which is held in memory whole."""


class Agents:
    """Client of all node agents. `nodes` gives Node objects by name."""

    def __init__(self, nodes: Callable[[], Mapping[str, Obj]], token: str) -> None:
        self._nodes = nodes
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(headers=self._headers)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def url(self, node: str, path: str) -> str:
        """Address of a path of a node's agent. Raises Refusal when the Node names none."""
        found = self._nodes().get(node)
        addresses = dig(found, "status", "addresses", default=[])
        host = next((entry["address"] for entry in addresses if entry.get("type") == "InternalIP"), None)
        port = dig(found, "status", "daemonEndpoints", "kubeletEndpoint", "Port")
        if host is None or port is None:
            raise internal(f"wanted the address of virt-handler on node {node!r}, found no such node with an address")
        return f"http://{host}:{port}{path}"

    async def call(self, method: str, node: str, path: str) -> web.Response:
        """The agent's answer as it stands; 501 when it does not know the path."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            async with self.session().request(method, self.url(node, path), timeout=timeout) as answer:
                body, kind = await answer.read(), answer.content_type
                if answer.status in (404, 405) and not _is_status(body):
                    raise Refusal(501, "NotImplemented", f"{method} {path} is not supported by node {node}")
                return web.Response(status=answer.status, body=body, content_type=kind)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise internal(f"virt-handler on node {node} did not answer: {error or type(error).__name__}") from error

    async def relay(
        self,
        request: web.Request,
        node: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        refused: Callable[[int, str], Refusal] | None = None,
        pings: bool = False,
    ) -> web.StreamResponse:
        """Join the client's websocket to the agent's, binary messages both ways, until one of them ends.

        The agent is asked first, so that its refusal is still a plain HTTP answer to the client; `refused` may put
        it in other words.
        """
        url = self.url(node, path)
        try:
            upstream = await self.session().ws_connect(
                url, params=params, protocols=(PROTOCOL,), max_msg_size=MOST_BYTES, autoclose=True, timeout=_timeout()
            )
        except aiohttp.WSServerHandshakeError as error:
            text = await self._why(url, params, error)
            raise (refused or _as_it_is)(error.status, text) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise internal(f"virt-handler on node {node} did not answer: {error or type(error).__name__}") from error
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(upstream.close)
            downstream = web.WebSocketResponse(
                protocols=(PROTOCOL,), max_msg_size=MOST_BYTES, autoping=not pings, compress=False
            )
            await downstream.prepare(request)
            clean = await _join(downstream, upstream, pings=pings)
            if clean:
                await downstream.close()
            elif request.transport is not None:
                # An evicted console has its connection cut without a close frame; its client must see 1006.
                request.transport.abort()
        return downstream

    async def _why(self, url: str, params: Mapping[str, str] | None, error: aiohttp.WSServerHandshakeError) -> str:
        """The body of a refused upgrade: aiohttp drops it, so the same path is asked without upgrading."""
        timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS)
        try:
            async with self.session().get(url, params=params, timeout=timeout) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return error.message
        try:
            return str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            return body.decode("utf-8", "replace")[:500] or error.message


def _timeout() -> aiohttp.ClientWSTimeout:
    return aiohttp.ClientWSTimeout(ws_close=1.0)


def _as_it_is(status: int, text: str) -> Refusal:
    reasons = {400: "BadRequest", 404: "NotFound", 409: "Conflict", 503: "ServiceUnavailable"}
    return Refusal(status, reasons.get(status, "InternalError"), text)


def _is_status(body: bytes) -> bool:
    try:
        return bool(json.loads(body).get("kind") == "Status")
    except (ValueError, AttributeError):
        return False


async def _join(client: web.WebSocketResponse, agent: aiohttp.ClientWebSocketResponse, *, pings: bool) -> bool:
    """Pump until a side ends; False when the agent's side was cut instead of closed."""
    up = asyncio.create_task(_from_client(client, agent, SILENCE_SECONDS if pings else None))
    down = asyncio.create_task(_from_agent(client, agent))
    tasks: set[asyncio.Task[bool]] = {up, down}
    if pings:
        tasks.add(asyncio.create_task(_ping(client)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return all(not task.exception() and task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _from_client(
    client: web.WebSocketResponse, agent: aiohttp.ClientWebSocketResponse, silence: float | None
) -> bool:
    while True:
        try:
            message = await client.receive(timeout=silence)
        except TimeoutError:
            return True
        if message.type == aiohttp.WSMsgType.BINARY:
            await agent.send_bytes(message.data)
        elif message.type == aiohttp.WSMsgType.PING:
            await client.pong(message.data)
        elif message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG):
            return True


async def _from_agent(client: web.WebSocketResponse, agent: aiohttp.ClientWebSocketResponse) -> bool:
    while True:
        message = await agent.receive()
        if message.type == aiohttp.WSMsgType.BINARY:
            await client.send_bytes(message.data)
        elif message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG):
            # aiohttp reports a bare end of the connection as code 1000 too: only a close frame tells them apart.
            return message.type == aiohttp.WSMsgType.CLOSE


async def _ping(client: web.WebSocketResponse) -> bool:
    """A port-forward's client must answer pings, or it is taken for gone."""
    while True:
        await asyncio.sleep(PING_SECONDS)
        await client.ping()
