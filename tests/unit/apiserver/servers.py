"""An API server in the test's own loop, and scripted peers at the wire: webhooks, backends, node agents."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.embedded.apiserver.pki import Authority, Pki, create_pki
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, running
from lab.embedded.kube import Kube

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN, AGENT_TOKEN = "token-of-the-test", "token-of-the-agents"


def listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(16)
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Kube, Pki]]:
    """A client of a fresh server, and the server's keys."""
    pki = create_pki(folder)
    sock = listening()
    tokens = {TOKEN: User("admin", ("system:masters",))}
    config = ApiConfig(sockets=[sock], pki=pki, tokens=tokens, agent_token=AGENT_TOKEN)
    async with running(config):
        server = f"https://127.0.0.1:{sock.getsockname()[1]}"
        async with Kube(server, token=TOKEN, ca=pki.ca, user_agent="test/1") as kube:
            yield kube, pki


@contextlib.asynccontextmanager
async def peer(handler: Handler, pki: Pki | None = None) -> AsyncIterator[tuple[str, int]]:
    """(URL, port) of a scripted server; HTTPS with a certificate of the lab's CA when `pki` is given."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sock = listening()
    context = None
    if pki is not None:
        cert, key = Authority.load(pki.ca, pki.ca_key).issue("peer", sans=("127.0.0.1",))
        folder = pki.ca.parent
        (folder / "peer.crt").write_bytes(cert)
        (folder / "peer.key").write_bytes(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "peer.crt", folder / "peer.key")
    await web.SockSite(runner, sock, ssl_context=context).start()
    port = sock.getsockname()[1]
    try:
        yield f"{'https' if pki else 'http'}://127.0.0.1:{port}", port
    finally:
        await runner.cleanup()


def webhook(kind: str, url: str, pki: Pki, resources: list[str], **extra: Any) -> dict[str, Any]:
    """A webhook configuration for kubevirt.io and core resources."""
    rule = {"apiGroups": ["*"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources}
    bundle = base64.b64encode(pki.ca.read_bytes()).decode()
    hook = {
        "name": "hook.virtlab.dev",
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **extra,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "h"},
        "webhooks": [hook],
    }


def run(coroutine: Awaitable[None]) -> None:
    """Run a test's coroutine with a deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await coroutine

    asyncio.run(bounded())


def review_answer(uid: str, **response: Any) -> web.Response:
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, **response}}
    return web.Response(text=json.dumps(body), content_type="application/json")
