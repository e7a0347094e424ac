"""The asynchronous client against a scripted server: errors, retries, watches that break, expire and resume."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from lab.embedded.kube import Informer, Informers, Kube, KubeError
from lab.embedded.model.kinds import CONFIGMAP, NODE, POD

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await web.SockSite(runner, sock).start()
    try:
        async with Kube(f"http://127.0.0.1:{sock.getsockname()[1]}", token="t", ca=None, user_agent="ua") as kube:
            yield kube
    finally:
        await runner.cleanup()


def run(coroutine: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await coroutine

    asyncio.run(bounded())


def status(code: int, reason: str, message: str = "m", **headers: str) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


def node(name: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "resourceVersion": str(version), "uid": name}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta}


def test_paths_headers_and_bodies() -> None:
    seen: list[tuple[str, str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        raw = await request.read()
        seen.append((request.method, request.path_qs, json.loads(raw) if raw else None))
        assert request.headers["Authorization"] == "Bearer t"
        return web.json_response({"metadata": {"name": "a"}})

    async def case() -> None:
        async with server(handler) as kube:
            await kube.get(POD, "a", "ns")
            await kube.create(CONFIGMAP, {"metadata": {"name": "a", "namespace": "ns"}})
            await kube.update(POD, {"metadata": {"name": "a", "namespace": "ns"}}, subresource="status")
            await kube.patch(NODE, "n", None, {"metadata": {"name": "n"}}, type="apply")
            await kube.delete(POD, "a", "ns", propagation="Foreground", uid="u", grace=0)
            await kube.list(POD, labels="a=b", fields="c=d")

    run(case())
    assert [(method, path) for method, path, _body in seen] == [
        ("GET", "/api/v1/namespaces/ns/pods/a"),
        ("POST", "/api/v1/namespaces/ns/configmaps"),
        ("PUT", "/api/v1/namespaces/ns/pods/a/status"),
        ("PATCH", "/api/v1/nodes/n?fieldManager=ua&force=true"),
        ("DELETE", "/api/v1/namespaces/ns/pods/a"),
        ("GET", "/api/v1/pods?labelSelector=a%3Db&fieldSelector=c%3Dd"),
    ]
    assert seen[1][2]["kind"] == "ConfigMap"
    assert seen[4][2]["preconditions"] == {"uid": "u"}
    assert seen[4][2]["gracePeriodSeconds"] == 0


def test_errors_carry_the_status() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return status(409, "Conflict", "modified")

    async def case() -> None:
        async with server(handler) as kube:
            with pytest.raises(KubeError) as caught:
                await kube.get(POD, "a", "ns")
            error = caught.value
            assert (error.status, error.reason, error.message, error.conflict) == (409, "Conflict", "modified", True)

    run(case())


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_is_asked_again(code: int) -> None:
    calls = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return status(code, "Busy", **{"Retry-After": "0"}) if calls < 3 else web.json_response({"metadata": {}})

    async def case() -> None:
        async with server(handler) as kube:
            await kube.create(POD, {"metadata": {"name": "a", "namespace": "ns"}})

    run(case())
    assert calls == 3


def test_what_may_have_been_done_is_not_done_twice() -> None:
    calls = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def case() -> None:
        async with server(handler) as kube:
            with pytest.raises(KubeError) as caught:
                await kube.create(POD, {"metadata": {"name": "a", "namespace": "ns"}})
            assert (caught.value.status, caught.value.reason) == (0, "Unreachable")

    run(case())
    assert calls == 1


def test_an_eviction_that_is_held_up_is_told_at_once() -> None:
    calls = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return status(429, "TooManyRequests", "held up")

    async def case() -> None:
        async with server(handler) as kube:
            with pytest.raises(KubeError):
                await kube.raw("POST", "/x", body={})

    run(case())
    assert calls == 1


class Script:
    """A collection whose watches are scripted: each is a list of events, `410`, or `break` (connection lost)."""

    def __init__(self, lists: list[list[dict[str, Any]]], watches: list[list[Any]]) -> None:
        self.lists = lists
        self.watches = watches
        self.versions: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            items = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            newest = max([int(item["metadata"]["resourceVersion"]) for item in items], default=1)
            return web.json_response({"metadata": {"resourceVersion": str(newest)}, "items": items})
        self.versions.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        for event in self.watches.pop(0) if self.watches else ["hang"]:
            if event == "break":
                assert request.transport is not None
                request.transport.abort()
                return response
            if event == "hang":
                await asyncio.sleep(30)
            elif event == "410":
                gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
                await response.write(json.dumps(gone).encode() + b"\n")
            else:
                line = json.dumps({"type": event[0], "object": event[1]}).encode() + b"\n"
                # Split anywhere: a line may come in pieces.
                await response.write(line[:7])
                await response.write(line[7:])
        return response


def follow(script: Script, wanted: Callable[[dict[str, Any]], bool]) -> list[tuple[str, str]]:
    """Run an informer until its items are as wanted; the changes that it told."""
    seen: list[tuple[str, str]] = []

    async def case() -> None:
        async with server(script.handle) as kube:
            informer = Informer(kube, NODE)
            informer.subscribe(lambda change, obj: seen.append((change, obj["metadata"]["name"])))
            task = asyncio.create_task(informer.run())
            await informer.synced()
            await informer.wait_for(wanted, 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(case())
    return seen


def test_a_watch_goes_on_where_it_was_lost() -> None:
    bookmark = ("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    watches = [[("ADDED", node("b", 5)), "break"], [bookmark], [("DELETED", node("a", 10))]]
    script = Script([[node("a", 3)]], watches)
    seen = follow(script, lambda items: set(items) == {"b"})
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert script.versions[:3] == ["3", "5", "9"]


def test_a_watch_whose_client_was_closed_goes_on_over_a_new_connection() -> None:
    async def case() -> None:
        watches = [[("ADDED", node("b", 5)), "hang"], [("DELETED", node("a", 10)), "hang"]]
        script = Script([[node("a", 3)]], watches)
        async with server(script.handle) as kube:
            informer = Informer(kube, NODE)
            task = asyncio.create_task(informer.run())
            await informer.wait_for(lambda items: "b" in items, 5)
            async with kube.apart() as other:
                await other.list(NODE)
            assert script.versions == ["3"], "another client's end is none of this one's"
            await kube.close()
            await informer.wait_for(lambda items: set(items) == {"b"}, 5)
            assert script.versions == ["3", "5"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(case())


def test_an_expired_watch_lists_again_and_tells_the_difference() -> None:
    second = [node("a", 30), node("c", 31)]
    script = Script([[node("a", 3), node("b", 4)], second], [["410"]])
    seen = follow(script, lambda items: set(items) == {"a", "c"})
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b"), ("MODIFIED", "a"), ("ADDED", "c")]
    assert script.versions == ["4", "31"] or script.versions == ["4"]


def test_a_failing_subscriber_harms_nobody() -> None:
    async def case() -> None:
        script = Script([[node("a", 3)]], [])
        async with server(script.handle) as kube:
            informers = Informers(kube)
            nodes = informers.get(NODE)
            assert informers.get(NODE) is nodes
            seen: list[str] = []

            def bad(_change: str, _obj: dict[str, Any]) -> None:
                raise RuntimeError("a bug")

            nodes.subscribe(bad)
            nodes.subscribe(lambda change, _obj: seen.append(change))
            await informers.start()
            assert seen == ["ADDED"]
            with pytest.raises(TimeoutError):
                await nodes.wait_for(lambda items: not items, 0.05)
            await informers.close()

    run(case())
