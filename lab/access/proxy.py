"""The proxy on the way to the API server: which one, by kubectl's rules, and a connection through it.

The `kubernetes` package sends loopback traffic through a proxy, too, knows no password of one, and its streams are none
of ours. So the choice is made here, once, for requests and streams alike.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import urllib.request
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from kubernetes.client import rest

from lab.core.errors import UsageError

_LONGEST = 16384
"""Of a proxy's answer: it is not trusted to end."""


def choose(server: str, asked: str, of_kubeconfig: str) -> str:
    """The URL of the proxy for a server, empty for none. Raises UsageError for one that cannot be used.

    What the target asks for goes first, then the kubeconfig's ``proxy-url``; HTTPS_PROXY (HTTP_PROXY for a plain
    server) holds unless NO_PROXY names the server or it is this machine.
    """
    found = asked or of_kubeconfig or _of_environment(server)
    parts = urlsplit(found)
    if found and (parts.scheme != "http" or not parts.hostname):
        raise UsageError(
            "a proxy that is reached by http, as http://proxy:3128",
            _shown(parts) if parts.hostname else repr(found),
            "cluster.proxy of the target, proxy-url of the kubeconfig, or HTTPS_PROXY",
            "streams (consoles, port-forward, exec) go through such a proxy, too, by CONNECT",
        )
    return found


def _of_environment(server: str) -> str:
    known = urllib.request.getproxies()
    if is_loopback(server) or rest.should_bypass_proxies(server, known.get("no", "")):
        return ""
    return known.get(urlsplit(server).scheme) or known.get("all") or ""


def is_loopback(url: str) -> bool:
    """Whether a URL is this machine's: no proxy of the environment is for that."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(parts: SplitResult) -> str:
    """Without user and password."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def headers(url: str) -> dict[str, str]:
    """What a proxy wants to know: user and password of its URL, if any."""
    parts = urlsplit(url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def connect(url: str, host: str, port: int, timeout: float) -> socket.socket:
    """A connection to a host through a proxy. Raises OSError with what the proxy said."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "", parts.port or 80), timeout)
    try:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *(f"{k}: {v}" for k, v in headers(url).items())]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = _answer(sock)
        if answer.split(b" ")[1:2] != [b"200"]:
            first = answer.partition(b"\r\n")[0].decode("ascii", "replace")
            raise OSError(f"the proxy {_shown(parts)} does not connect to {place}: {first or 'it closed'}")
    except BaseException:
        sock.close()
        raise
    return sock


def _answer(sock: Any) -> bytes:
    """Byte by byte, since what follows the empty line is the server's."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n") and len(answer) < _LONGEST:
        byte = sock.recv(1)
        if not byte:
            break
        answer += byte
    return answer
