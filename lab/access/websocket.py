"""Opening websockets to the API server with the credentials and TLS of the kubernetes configuration.

Only opening: what the frames mean is for `stream`. The client library of KubeVirt's streams (plain binary frames)
cannot be kubernetes.stream, which expects channel bytes.
"""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import websocket

from lab.access import proxy
from lab.access.errors import api_error
from lab.access.transport import Transport
from lab.core.deadline import Deadline

_CONNECT_S = 10.0
_CHUNK = 65536


class _Buffered:
    """A socket that is read in large pieces.

    The library reads the answer to its handshake byte by byte, and each read gives the interpreter away to whatever
    other thread wants it: with a hundred streams opened at once that alone was a quarter of a second.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""

    def recv(self, size: int) -> bytes:
        data = self._held or self._sock.recv(max(size, _CHUNK))
        self._held = data[size:]
        return data[:size]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def open_websocket(
    transport: Transport, path: str, *, subprotocols: list[str], wanted: str, where: str, deadline: Deadline
) -> Any:
    """A connected websocket.WebSocket. Raises ApiError (the plain answer before the upgrade) and ApiDown.

    Refused as one of too many requests, or told when to come again, it is tried again until the deadline.
    """
    return transport.retried(lambda: _open(transport, path, subprotocols, wanted, where, deadline), deadline)


def _open(transport: Transport, path: str, subprotocols: list[str], wanted: str, where: str, deadline: Deadline) -> Any:
    headers = transport.headers()
    agent = {k: v for k, v in headers.items() if v}
    timeout = max(0.1, min(_CONNECT_S, deadline.remaining()))
    try:
        return websocket.create_connection(
            re.sub("^http", "ws", transport.server) + path,
            header=agent,
            subprotocols=subprotocols,
            sslopt={"context": transport.tls} if transport.server.startswith("https") else None,
            timeout=timeout,
            enable_multithread=True,
            socket=_connected(transport, timeout),
        )
    except websocket.WebSocketBadStatusException as error:
        body, told = error.resp_body or b"", error.resp_headers or {}
        failure = api_error(error.status_code, body, wanted=wanted, where=f"{where}, {transport.server}")
        # Opening twice runs nothing twice: what is refused has not begun.
        raise transport.again(failure, "POST", str(told.get("retry-after", ""))) from error
    except (websocket.WebSocketException, OSError) as error:
        raise transport.api_down(wanted, error) from error


def _connected(transport: Transport, timeout: float) -> Any:
    """A connection as the configuration says; the library would pick up another proxy of the environment by itself."""
    parts, configuration = urlsplit(transport.server), transport.configuration
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    if transport.proxy:
        sock = proxy.connect(transport.proxy, host, port, timeout)
    else:
        sock = socket.create_connection((host, port), timeout)
    try:
        for option in websocket.DEFAULT_SOCKET_OPTION:
            sock.setsockopt(*option)
        name = configuration.tls_server_name or host
        return _Buffered(transport.tls.wrap_socket(sock, server_hostname=name) if secure else sock)
    except BaseException:
        sock.close()
        raise
