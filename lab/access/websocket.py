"""Opening websockets to the API server with the credentials and TLS of the kubernetes configuration.

Only opening: what the frames mean is for `stream`. The client library of KubeVirt's streams (plain binary frames)
cannot be kubernetes.stream, which expects channel bytes.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import websocket

from lab.access.errors import api_error
from lab.access.kubeconfig import tls_context
from lab.access.transport import Transport
from lab.core.deadline import Deadline

_CONNECT_S = 10.0


def open_websocket(
    transport: Transport, path: str, *, subprotocols: list[str], wanted: str, where: str, deadline: Deadline
) -> Any:
    """A connected websocket.WebSocket. Raises ApiError (the plain answer before the upgrade) and ApiDown."""
    configuration = transport.configuration
    headers = transport.headers()
    agent = {k: v for k, v in headers.items() if v}
    try:
        return websocket.create_connection(
            re.sub("^http", "ws", transport.server) + path,
            header=agent,
            subprotocols=subprotocols,
            sslopt={"context": tls_context(configuration)} if transport.server.startswith("https") else None,
            timeout=max(0.1, min(_CONNECT_S, deadline.remaining())),
            enable_multithread=True,
            **_proxy(configuration.proxy),
        )
    except websocket.WebSocketBadStatusException as error:
        body = error.resp_body or b""
        raise api_error(error.status_code, body, wanted=wanted, where=f"{where}, {transport.server}") from error
    except (websocket.WebSocketException, OSError) as error:
        raise transport.api_down(wanted, error) from error


def _proxy(url: str | None) -> dict[str, Any]:
    """As the configuration says; without one, the library must not pick up a proxy from the environment by itself."""
    if not url:
        return {"http_no_proxy": ["*"]}
    parts = urlsplit(url)
    return {"http_proxy_host": parts.hostname, "http_proxy_port": parts.port or 80, "proxy_type": "http"}
