"""Requests that others answer: backends of aggregated groups, and the node agents behind exec, attach and log.

HTTP bodies are streamed, websocket frames are relayed untouched with the subprotocol that the far side chose. The
caller's credentials never travel on: a backend gets the user's name in headers, an agent the lab's own token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from lab.embedded.apiserver.errors import StatusError, bad_request, internal, unavailable
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.store import Store

Obj = dict[str, Any]
APISERVICES = ("apiregistration.k8s.io", "apiservices")
URL, CA = "virtlab.dev/url", "virtlab.dev/ca"
_HOP_NAMES = """
connection keep-alive proxy-authenticate proxy-authorization te trailers transfer-encoding upgrade host authorization
content-length content-encoding sec-websocket-key sec-websocket-version sec-websocket-extensions
sec-websocket-protocol sec-websocket-accept date server
"""
_HOP = frozenset(_HOP_NAMES.split())
DISCOVERY_SECONDS = 2.0
CONNECT_SECONDS = 5.0
MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message of a stream; programs send some thousands, and each is held in memory whole."""


class Proxy:
    """Client side of aggregation and of the node agents."""

    def __init__(self, store: Store, default_ca: Path, agent_token: str) -> None:
        self._store = store
        self._default_ca = default_ca
        self._agent_token = agent_token
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lists: dict[str, tuple[str, Obj]] = {}

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # Aggregation

    def backends(self) -> dict[tuple[str, str], Obj]:
        """APIService objects with a backend's URL, by group and version."""
        found = {}
        for service in self._store.list(APISERVICES):
            if (service["metadata"].get("annotations") or {}).get(URL):
                spec = service.get("spec", {})
                found[spec.get("group", ""), spec.get("version", "")] = service
        return found

    def _tls(self, service: Obj) -> ssl.SSLContext:
        path = (service["metadata"].get("annotations") or {}).get(CA) or str(self._default_ca)
        if path not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(path)
            self._contexts[path] = context
        return self._contexts[path]

    async def discover(self) -> dict[tuple[str, str], Obj | None]:
        """Legacy resource lists of all backends, asked for at once; None for one that does not answer."""
        backends = self.backends()
        lists = await asyncio.gather(*(self._resource_list(*key, service) for key, service in backends.items()))
        return dict(zip(backends, lists, strict=True))

    async def _resource_list(self, group: str, version: str, service: Obj) -> Obj | None:
        key, mark = f"{group}/{version}", service["metadata"]["resourceVersion"]
        known = self._lists.get(key)
        if known is not None and known[0] == mark:
            return known[1]
        url = service["metadata"]["annotations"][URL].rstrip("/")
        timeout = aiohttp.ClientTimeout(total=DISCOVERY_SECONDS)
        headers = {"X-Remote-User": "system:aggregator", "X-Remote-Group": "system:masters"}
        try:
            async with self.session().get(
                f"{url}/apis/{group}/{version}", ssl=self._tls(service), timeout=timeout, headers=headers
            ) as answer:
                listed: Obj = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return None
        if listed.get("kind") != "APIResourceList":
            return None
        self._lists[key] = (mark, listed)
        return listed

    async def forward(self, request: web.Request, user: User, service: Obj) -> web.StreamResponse:
        """Pass a request to the backend of an aggregated group; raises 503 when it does not answer."""
        url = service["metadata"]["annotations"][URL].rstrip("/") + request.raw_path
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP]
        headers = [(k, v) for k, v in headers if not k.lower().startswith("x-remote-")]
        headers += [("X-Remote-User", user.name), *(("X-Remote-Group", group) for group in user.groups)]
        context = self._tls(service)
        if is_websocket(request):
            return await self._relay(request, url, headers, context)
        return await self._stream(request, url, headers, context)

    async def _stream(
        self,
        request: web.Request,
        url: str,
        headers: list[tuple[str, str]],
        context: ssl.SSLContext | bool,
        content_type: str = "",
    ) -> web.StreamResponse:
        """Send a request on and stream its answer; `content_type` replaces that of a good answer."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        data = await request.read() if request.can_read_body else None
        try:
            answer = await self.session().request(
                request.method, yarl.URL(url, encoded=True), headers=headers, data=data, ssl=context, timeout=timeout
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(f"error trying to reach service: {error}") from error
        async with answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for key, value in answer.headers.items():
                if key.lower() not in _HOP or key.lower() == "content-encoding":
                    response.headers.add(key, value)
            if content_type and answer.status < 400:
                response.content_type = content_type
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError, aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    # Websockets

    async def _relay(
        self, request: web.Request, url: str, headers: list[tuple[str, str]], context: ssl.SSLContext | bool
    ) -> web.StreamResponse:
        asked = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        asked = [p for p in asked if not p.startswith("base64url.bearer.authorization.k8s.io.")]
        try:
            async with asyncio.timeout(CONNECT_SECONDS * 2):
                far = await self.session().ws_connect(
                    yarl.URL(url, encoded=True),
                    protocols=asked,
                    headers=headers,
                    ssl=context,
                    max_msg_size=MAX_MESSAGE,
                    autoclose=False,
                )
        except aiohttp.WSServerHandshakeError:
            # The handshake error carries no body: ask again without upgrade, to pass the backend's Status on.
            return await self._stream(request, url, headers, context)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(f"error trying to reach service: {error}") from error
        near = web.WebSocketResponse(
            protocols=[far.protocol] if far.protocol else (), max_msg_size=MAX_MESSAGE, autoclose=False, compress=False
        )
        try:
            await near.prepare(request)
            clean = await _both_ways(near, far)
            if not clean and request.transport is not None:
                # An evicted console has its connection cut without a close frame; its client must see 1006.
                request.transport.abort()
        finally:
            await far.close()
        return near

    # Node agents

    def agent_url(self, pod: Obj) -> str:
        """`http://address:port` of the agent on a pod's node. Raises 400 or 500 with what is missing."""
        name = pod["metadata"]["name"]
        node_name = pod.get("spec", {}).get("nodeName")
        if not node_name:
            raise bad_request(f"pod {name} does not have a host assigned")
        node = self._store.get(("", "nodes"), "", node_name)
        status = (node or {}).get("status") or {}
        addresses = [a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"]
        if not addresses:
            raise internal(f"node {node_name} has no InternalIP address: its agent is not running")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 10250)
        host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        return f"http://{host}:{port}"

    async def to_agent(self, request: web.Request, pod: Obj, path: str, query: str) -> web.StreamResponse:
        """Relay a websocket or stream an answer from the agent on the pod's node."""
        url = self.agent_url(pod) + path + (f"?{query}" if query else "")
        headers = [("Authorization", f"Bearer {self._agent_token}")]
        try:
            if is_websocket(request):
                return await self._relay(request, url, headers, True)
            # Clients read a log by its type: the Python one refuses anything but text.
            return await self._stream(request, url, headers, True, "text/plain")
        except StatusError as refusal:
            node = pod["spec"]["nodeName"]
            raise internal(f'error dialing backend: agent of node "{node}": {refusal.message}') from refusal


def is_websocket(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def _both_ways(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> bool:
    """Copy frames until one side ends, then close the other with the same code; False when the far one was cut."""
    up, down = asyncio.create_task(_copy(near, far)), asyncio.create_task(_copy(far, near))
    done, pending = await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return down not in done or (not down.exception() and down.result())


async def _copy(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> bool:
    """Copy one way until the source ends; True when it said so with a close frame, or the sink was gone first."""
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while True:
            message = await source.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.CLOSE:
                await sink.close(code=message.data or 1000, message=str(message.extra or "").encode())
                return True
            else:
                # aiohttp reports a bare end of the connection as code 1000 too: only a close frame tells them apart.
                return False
    return True
