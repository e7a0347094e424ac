"""Aggregated groups, exec and log: requests that a scripted peer answers behind the API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import APISERVICE, NODE, POD

from .servers import AGENT_TOKEN, cluster, peer, run

GROUP = "subresources.kubevirt.io"


def api_service(url: str, ca: Path) -> dict[str, Any]:
    annotations = {"virtlab.dev/url": url, "virtlab.dev/ca": str(ca)}
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "service": {"namespace": "kubevirt", "name": "virt-api"},
    }
    return {"metadata": {"name": f"v1.{GROUP}", "annotations": annotations}, "spec": spec}


async def backend(request: web.Request) -> web.StreamResponse:
    """virt-api in small: discovery, an echo of what arrived, a console."""
    if request.path == f"/apis/{GROUP}/v1":
        entry = {"name": "virtualmachines/start", "singularName": "", "namespaced": True, "kind": "", "verbs": None}
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1", "resources": [entry]}
        return web.json_response(body)
    if request.path.endswith("/console"):
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(b"echo " + message.data)
            if message.data == b"bye":
                await socket.close(code=1000)
            elif message.data == b"evict" and request.transport is not None:
                request.transport.abort()
        return socket
    if request.path.endswith("/broken"):
        return web.json_response({"kind": "Status", "message": "VMI is not running", "code": 400}, status=400)
    headers = {key: request.headers.getall(key, []) for key in ("X-Remote-User", "X-Remote-Group", "Authorization")}
    text = (await request.read()).decode()
    return web.json_response(
        {"method": request.method, "path": request.raw_path, "headers": headers, "body": text}, status=202
    )


def test_an_aggregated_group(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(backend, pki) as (url, _port):
            await kube.create(APISERVICE, api_service(url, pki.ca))
            groups = await kube.raw("GET", "/apis")
            assert GROUP in [group["name"] for group in groups["groups"]]
            assert (await kube.raw("GET", f"/apis/{GROUP}/v1"))["resources"][0]["name"] == "virtualmachines/start"
            path = f"/apis/{GROUP}/v1/namespaces/a/virtualmachines/x/start?dry=1"
            seen = await kube.raw("PUT", path, body={"paused": True})
            assert (seen["method"], seen["path"], seen["body"]) == ("PUT", path, '{"paused": true}')
            assert seen["headers"]["X-Remote-User"] == ["admin"]
            assert "system:masters" in seen["headers"]["X-Remote-Group"]
            assert seen["headers"]["Authorization"] == []
            accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
            async with kube.session().get(f"{kube.server}/apis", headers=accept) as answer:
                items = {item["metadata"]["name"]: item for item in json.loads(await answer.read())["items"]}
            version = items[GROUP]["versions"][0]
            assert version["freshness"] == "Current"
            assert version["resources"][0]["subresources"][0]["subresource"] == "start"

    run(case())


def test_a_console_is_relayed_with_its_subprotocol(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(backend, pki) as (url, _port):
            await kube.create(APISERVICE, api_service(url, pki.ca))
            path = f"{kube.server}/apis/{GROUP}/v1/namespaces/a/virtualmachineinstances/x/console"
            async with kube.session().ws_connect(path, protocols=["plain.kubevirt.io"]) as socket:
                assert socket.protocol == "plain.kubevirt.io"
                await socket.send_bytes(b"hello")
                assert await socket.receive_bytes() == b"echo hello"
                await socket.send_bytes(b"bye")
                assert await socket.receive_bytes() == b"echo bye"
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE or socket.close_code == 1000
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await kube.session().ws_connect(path.replace("console", "broken"), protocols=["plain.kubevirt.io"])
            assert caught.value.status == 400

    run(case())


@pytest.mark.parametrize(("word", "code"), [(b"bye", 1000), (b"evict", 1006)])
def test_the_client_learns_how_the_far_side_ended(tmp_path: Path, word: bytes, code: int) -> None:
    """By the bytes on the wire, since aiohttp's client reports a cut connection as 1000 too."""

    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki), peer(backend, pki) as (url, _port):
            await kube.create(APISERVICE, api_service(url, pki.ca))
            path = f"{kube.server}/apis/{GROUP}/v1/namespaces/a/virtualmachineinstances/x/console"
            async with kube.session().ws_connect(path, protocols=["plain.kubevirt.io"], autoclose=False) as socket:
                await socket.send_bytes(word)
                seen = [await socket.receive()]
                while seen[-1].type is aiohttp.WSMsgType.BINARY:
                    seen.append(await socket.receive())
                framed = seen[-1].type is aiohttp.WSMsgType.CLOSE
                assert (seen[-1].data if framed else 1006) == code

    run(case())


def test_a_backend_that_is_away(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, pki):
            await kube.create(APISERVICE, api_service("https://127.0.0.1:1", pki.ca))
            async with kube.session().get(f"{kube.server}/apis/{GROUP}/v1/namespaces/a/x/y") as answer:
                assert answer.status == 503
                assert (await answer.json())["reason"] == "ServiceUnavailable"
            accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
            async with kube.session().get(f"{kube.server}/apis", headers=accept) as answer:
                items = {item["metadata"]["name"]: item for item in json.loads(await answer.read())["items"]}
            assert items[GROUP]["versions"][0]["freshness"] == "Stale"

    run(case())


async def agent(request: web.Request) -> web.StreamResponse:
    """A node agent in small: exec that echoes, logs in two pieces."""
    assert request.headers["Authorization"] == f"Bearer {AGENT_TOKEN}"
    if request.path.startswith("/logs/"):
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"first\n")
        await asyncio.sleep(0)
        await response.write(f"{request.path} {request.query_string}\n".encode())
        return response
    if request.path == "/exec/default/p/none":
        return web.json_response({"kind": "Status", "message": "container not found"}, status=404)
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
    await socket.prepare(request)
    await socket.send_bytes(b"\x01" + request.raw_path.encode())
    data = await socket.receive_bytes()
    await socket.send_bytes(b"\x01" + data[1:])
    await socket.send_bytes(b'\x03{"metadata":{},"status":"Success"}')
    await socket.close(code=1000)
    return socket


async def bound_pod(kube: Kube, port: int) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"}
    await kube.create(POD, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    await kube.create(NODE, {"metadata": {"name": "n1"}})
    endpoints = {"kubeletEndpoint": {"Port": port}}
    status = {"status": {"addresses": addresses, "daemonEndpoints": endpoints}}
    await kube.patch(NODE, "n1", None, status, subresource="status")


def test_exec_and_log_reach_the_agent_of_the_node(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki), peer(agent) as (_url, port):
            await bound_pod(kube, port)
            base = kube.server + POD.path("default", "p")
            query = "?command=ls&command=-l%20a&stdin=true&container=c"
            async with kube.session().ws_connect(f"{base}/exec{query}", protocols=["v5.channel.k8s.io"]) as socket:
                assert socket.protocol == "v5.channel.k8s.io"
                first = await socket.receive_bytes()
                assert first == b"\x01/exec/default/p/c?command=ls&command=-l+a&stdin=true"
                await socket.send_bytes(b"\x00typed")
                assert await socket.receive_bytes() == b"\x01typed"
                assert json.loads((await socket.receive_bytes())[1:])["status"] == "Success"
            text = await kube.raw("GET", POD.path("default", "p", "log"), params={"tailLines": "5"})
            assert text == "first\n/logs/default/p/c tailLines=5\n"
            with pytest.raises(KubeError) as caught:
                await kube.raw("GET", POD.path("default", "p", "log"), params={"container": "zz"})
            assert caught.value.message == "container zz is not valid for pod p"

    run(case())


def test_exec_into_a_pod_without_a_node(tmp_path: Path) -> None:
    async def case() -> None:
        async with cluster(tmp_path) as (kube, _pki):
            spec = {"containers": [{"name": "c", "image": "i"}]}
            await kube.create(POD, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await kube.session().ws_connect(kube.server + POD.path("default", "p", "exec") + "?command=ls")
            assert caught.value.status == 400

    run(case())
