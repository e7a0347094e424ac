"""Console and port-forward through the aggregated API: relayed to the node, cut as they are cut there."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from aiohttp import web
from cluster import AGENT_TOKEN, Cluster, client_tls
from lives import SUB, manifest, play, running
from operator_samples import Obj

from lab.embedded.model.kinds import APISERVICE, POD, VM, VMI
from lab.embedded.operators.objects import labels_of, phase_of


async def _console(request: web.Request) -> web.StreamResponse:
    assert request.headers["Authorization"] == f"Bearer {AGENT_TOKEN}"
    stream = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
    await stream.prepare(request)
    async for message in stream:
        if message.data == b"cut\n":
            assert request.transport is not None
            request.transport.abort()
            break
        await stream.send_bytes(b"echo " + message.data)
    return stream


async def _dial(request: web.Request) -> web.StreamResponse:
    if request.query["port"] == "23":
        return web.json_response({"message": "dialing VM: dial tcp 10.128.0.9:23: connection refused"}, status=500)
    assert request.query["host"] == "10.128.0.9"
    stream = web.WebSocketResponse()
    await stream.prepare(request)
    await stream.send_bytes(b"SSH-2.0")
    async for message in stream:
        await stream.send_bytes(message.data)
    return stream


def test_console_and_portforward_are_relayed(tmp_path: Path) -> None:
    routes = [web.get("/console/{ns}/{vmi}", _console), web.get("/dial/{ns}/{pod}", _dial)]

    async def scene(lab: Cluster) -> None:
        headers = {"Authorization": "Bearer admin"}
        base = f"{lab.server}{SUB}/virtualmachineinstances"
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(ssl=client_tls(lab.ca))
        ) as session:
            async with session.get(f"{base}/vm/console") as answer:
                assert (answer.status, (await answer.json())["reason"]) == (404, "NotFound")
            await lab.kube.create(VM, manifest("later", nodeSelector={"zone": "no"}))
            await lab.until(VMI, "demo/later", phase_of)
            async with session.get(f"{base}/later/console") as answer:
                assert (answer.status, (await answer.json())["message"]) == (400, "VMI is not running")
            await running(lab)
            async with session.ws_connect(f"{base}/vm/console", protocols=("plain.kubevirt.io",)) as console:
                assert console.protocol == "plain.kubevirt.io"
                await console.send_bytes(b"\n")
                assert await console.receive_bytes() == b"echo \n"
            service = await lab.kube.get(APISERVICE, "v1.subresources.kubevirt.io")
            direct = service["metadata"]["annotations"]["virtlab.dev/url"] + SUB + "/virtualmachineinstances"
            async with session.ws_connect(f"{direct}/vm/console") as console:
                await console.send_bytes(b"cut\n")
                end = await console.receive()
                # Cut without a close frame, as an evicted console is; aiohttp calls that CLOSED or ERROR.
                assert end.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await lab.informers.get(POD).wait_for(
                lambda items: any(
                    labels_of(p).get("kubevirt.io") == "virt-api" and phase_of(p) == "Running" for p in items.values()
                ),
                5.0,
            )
            await lab.nodes.edit("demo/vm", _with_address)
            for port in ("²", "9" * 5000, "0", "-1", "65536"):
                async with session.get(f"{base}/vm/portforward/{port}") as answer:
                    assert (answer.status, (await answer.json())["reason"]) == (400, "BadRequest"), port
            for body in (b"[" * 100_000, b'{"dryRun": 7}', b"[]", b"\xff"):
                async with session.put(f"{lab.server}{SUB}/virtualmachines/vm/stop", data=body) as answer:
                    assert (answer.status, (await answer.json())["reason"]) == (400, "BadRequest"), body[:20]
            async with session.ws_connect(f"{base}/vm/portforward/22") as stream:
                assert await stream.receive_bytes() == b"SSH-2.0"
                await stream.send_bytes(b"hello")
                assert await stream.receive_bytes() == b"hello"
            async with session.get(f"{base}/vm/portforward/23") as answer:
                body = await answer.json()
                assert answer.status == 500
                text = "Internal error occurred: dialing VM: dial tcp 10.128.0.9:23: connection refused"
                assert body["message"] == text

    play(tmp_path, scene, routes=routes)


def _with_address(vmi: Obj) -> None:
    vmi["status"]["interfaces"] = [{"name": "default", "ipAddress": "10.128.0.9", "podInterfaceName": "eth0"}]
