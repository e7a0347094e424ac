"""A scripted API server on a real socket: canned answers per path, a watch fed by the test, an exec endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from lab.access.client import Client

CORE = {
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/exec", "kind": "PodExecOptions", "namespaced": True},
        {"name": "nodes", "kind": "Node", "namespaced": False},
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
    ]
}


def status(code: int, reason: str, message: str, **details: Any) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body | ({"details": details} if details else {}), status=code)


class FakeApi:
    """`answers` maps "METHOD path" to a list of responders used in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Callable[[web.Request], Any]]] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.watches: list[asyncio.Queue[bytes | None]] = []
        self.expired = False
        """Whether every watch is told that its version is gone."""
        self.exec: Callable[[web.Request, web.WebSocketResponse], Any] | None = None
        self._loop = asyncio.new_event_loop()
        self.say("GET /api/v1", lambda r: web.json_response(CORE))
        self.say("GET /version", lambda r: web.json_response({"gitVersion": "v1.30.0"}))

    def say(self, route: str, *responders: Callable[[web.Request], Any]) -> None:
        self.answers[route] = list(responders)

    def items(self, path: str, objects: list[dict[str, Any]], version: str = "10") -> None:
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": objects}
        self.say(f"GET {path}", lambda r: web.json_response(body))

    def feed(self, type_: str, obj: dict[str, Any]) -> None:
        """An event to every open watch."""
        line = json.dumps({"type": type_, "object": obj}).encode() + b"\n"
        self._loop.call_soon_threadsafe(lambda: [queue.put_nowait(line) for queue in self.watches])

    def end_watches(self) -> None:
        self._loop.call_soon_threadsafe(lambda: [queue.put_nowait(None) for queue in self.watches])

    def __enter__(self) -> FakeApi:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _shutdown(self) -> None:
        await self._runner.cleanup()
        await end_tasks()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query), await request.read()))
        self.headers.append(dict(request.headers))
        if request.query.get("watch") == "true":
            if self.expired:
                return status(410, "Expired", "too old resource version")
            return await self._watch(request)
        if request.path.endswith("/exec") and self.exec:
            ws = web.WebSocketResponse(protocols=["v5.channel.k8s.io", "v4.channel.k8s.io"])
            await ws.prepare(request)
            await self.exec(request, ws)
            await ws.close()
            return ws
        script = self.answers.get(f"{request.method} {request.path}")
        if not script:
            return status(404, "NotFound", f"{request.path} not found")
        responder = script.pop(0) if len(script) > 1 else script[0]
        answer = responder(request)
        return answer if isinstance(answer, web.StreamResponse) else await answer

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        self.watches.append(queue)
        with contextlib.suppress(ConnectionError):
            while (line := await queue.get()) is not None:
                await response.write(line)
        self.watches.remove(queue)
        return response


async def end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def kubeconfig(folder: Path, server: str, name: str = "kubeconfig") -> Path:
    path = folder / name
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "secret-token"}}],
                "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "lab",
            }
        )
    )
    return path


def connect(api: FakeApi, folder: Path) -> Client:
    return Client.connect(kubeconfig(folder, api.url))


def pod(name: str, version: str, phase: str = "Pending", **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "demo", "uid": f"uid-{name}", "resourceVersion": version, **meta},
        "status": {"phase": phase},
    }
