"""A large cluster at the wire, for evidence: so many workers, each with its ovnkube pod, and answers that are slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.access.client import Client
from lab.evidence.collect import Sources
from lab.target.inventory import load
from tests.unit.access.fakeapi import FakeApi, kubeconfig

ROOT = Path(__file__).parents[3]
CONTAINERS = ("nb-ovsdb", "sb-ovsdb", "ovn-northd", "ovn-controller", "ovnkube-controller")
LIST = "/api/v1/namespaces/ovn-kubernetes/pods"


@contextmanager
def sources(folder: Path, workers: int, seconds: float) -> Iterator[Sources]:
    """What evidence asks: every exec and every log takes so many seconds, lists none."""
    names = [f"worker-{n:03d}" for n in range(workers)]
    with FakeApi() as api:
        api.exec = lambda request, ws: _exec(ws, seconds)
        pods = [_pod(name) for name in names]
        api.items(LIST, pods)
        for pod in pods:
            api.say(f"GET {LIST}/{pod['metadata']['name']}/log", lambda r: _log(seconds))
        api.items("/api/v1/nodes", [{"kind": "Node", "metadata": {"name": name}} for name in names])
        target = load(ROOT / "targets" / "embedded.yaml")
        yield Sources(Client.connect(kubeconfig(folder, api.url)), target, names)


def _pod(node: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"ovnkube-{node}", "namespace": "ovn-kubernetes", "labels": {"app": "ovnkube-node"}},
        "spec": {"nodeName": node, "containers": [{"name": name} for name in CONTAINERS]},
        "status": {"phase": "Running"},
    }


async def _log(seconds: float) -> web.Response:
    await asyncio.sleep(seconds)
    return web.Response(text="a line\n")


async def _exec(ws: web.WebSocketResponse, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await ws.send_bytes(b"\x01" + b"== virtlab evidence: ip-link\n1: lo: <UP>\n")
    await ws.send_bytes(b"\x03" + json.dumps({"status": "Success"}).encode())
