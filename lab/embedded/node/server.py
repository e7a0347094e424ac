"""The agent's HTTP server on the machine network: the API server's only way to a node.

Every request needs the lab's bearer token; what the routes do is the components' own business.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from lab.embedded.node.context import Served
from lab.embedded.node.virtroutes import refusal

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(components: Sequence[Served], token: str) -> web.Application:
    """An application of all components' routes, and `/healthz`."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()):
            return refusal(401, "Unauthorized", "Unauthorized")
        try:
            return await handler(request)
        except web.HTTPException as known:
            return refusal(known.status, known.reason.replace(" ", ""), known.text or known.reason)
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            return refusal(500, "InternalError", f"{type(error).__name__}: {error}")

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(middlewares=[guarded])
    app.router.add_get("/healthz", healthy)
    for component in components:
        app.router.add_routes(component.routes())
    return app


async def serve_agent(components: Sequence[Served], *, host: str, port: int, token: str) -> None:
    """Serve until cancelled. Raises OSError (the address is not there yet, or the port is taken)."""
    runner = web.AppRunner(build(components, token), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
