"""An API server in trouble, as a client meets it over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from lab.embedded.apiserver import clock
from lab.embedded.apiserver.trouble import Trouble

Client = TestClient[web.Request, web.Application]


def meet(settings: Mapping[str, float], look: Callable[[Client, Trouble], Awaitable[None]]) -> None:
    """A server that counts its answers, in that trouble."""

    async def act() -> None:
        count = 0

        async def answer(request: web.Request) -> web.StreamResponse:
            nonlocal count
            count += 1
            if "watch" not in request.query:
                return web.json_response({"count": count})
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(b"{}\n")
            await asyncio.sleep(30)
            return stream

        trouble = Trouble()
        app = web.Application(middlewares=[trouble.middleware])
        app.router.add_get("/{tail:.*}", answer)
        async with TestClient(TestServer(app)) as client:
            trouble.take(settings)
            try:
                await look(client, trouble)
            finally:
                trouble.take({})

    asyncio.run(act())


def test_a_share_of_the_requests_is_too_many_and_says_when_to_come_again() -> None:
    async def look(client: Client, _: Trouble) -> None:
        answers = [await client.get("/api") for _ in range(10)]
        assert [a.status for a in answers].count(429) == 3
        refused = next(a for a in answers if a.status == 429)
        assert refused.headers["Retry-After"] == "1"
        assert (await refused.json())["reason"] == "TooManyRequests"

    meet({"api-429": 30}, look)


def test_all_requests_fail() -> None:
    async def look(client: Client, _: Trouble) -> None:
        answer = await client.get("/api")
        assert answer.status == 500
        assert (await answer.json())["message"] == "Internal error occurred: etcdserver: request timed out"

    meet({"api-500": 100}, look)


def test_only_a_watch_from_a_version_is_too_old() -> None:
    async def look(client: Client, _: Trouble) -> None:
        assert (await client.get("/api?watch=true&resourceVersion=7")).status == 410
        assert (await client.get("/api?resourceVersion=7")).status == 200

    meet({"watch-410": 100}, look)


@pytest.mark.parametrize("late", [True, False])
def test_a_watch_is_cut_off_without_an_end(late: bool) -> None:
    async def look(client: Client, trouble: Trouble) -> None:
        answer = await client.get("/api?watch=1")
        assert await answer.content.readline() == b"{}\n"
        if late:
            trouble.take({"watch-dropped": 60})
        with pytest.raises(ClientError):
            await asyncio.wait_for(answer.content.readline(), 10)

    meet({} if late else {"watch-dropped": 0.2}, look)


def test_reads_are_as_old_as_they_may_be_and_no_trouble_is_none() -> None:
    async def look(client: Client, trouble: Trouble) -> None:
        assert [(await (await client.get("/api")).json())["count"] for _ in range(3)] == [1, 1, 1]
        trouble.take({})
        assert (await (await client.get("/api")).json())["count"] == 2

    meet({"stale-reads": 60}, look)


def test_the_clock_goes_wrong_and_right_again() -> None:
    async def look(_: Client, trouble: Trouble) -> None:
        assert clock.now() - datetime.now(UTC) > timedelta(minutes=59)
        trouble.take({})
        assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)

    meet({"clock-skew": 3600}, look)
