"""A Kubernetes API at the wire, small enough to read: cluster-scoped objects, status subresource, 409, watch."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from lab.embedded.kube import Kube

Obj = dict[str, Any]


class FakeApi:
    """Objects by (plural, name); ``log`` has every condition list ever written to a policy or enactment."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.events: list[Obj] = []
        self.history: list[tuple[str, Obj]] = []
        self.conflicts = 0
        self._version = itertools.count(1)
        self._watchers: list[tuple[str, asyncio.Queue[tuple[str, Obj]]]] = []

    def put(self, plural: str, obj: Obj) -> Obj:
        meta = obj.setdefault("metadata", {})
        old = self.objects.get((plural, meta["name"]))
        meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{next(self._version)}")
        if old is None:
            meta.setdefault("generation", 1)
        elif old.get("spec") != obj.get("spec"):
            meta["generation"] = old["metadata"]["generation"] + 1
        meta["resourceVersion"] = str(next(self._version))
        self.objects[(plural, meta["name"])] = obj
        self.history.append((plural, copy.deepcopy(obj)))
        self._tell(plural, "MODIFIED" if old else "ADDED", obj)
        return obj

    def remove(self, plural: str, name: str) -> bool:
        obj = self.objects.pop((plural, name), None)
        if obj is not None:
            obj["metadata"]["resourceVersion"] = str(next(self._version))
            self._tell(plural, "DELETED", obj)
        return obj is not None

    def _tell(self, plural: str, change: str, obj: Obj) -> None:
        for watched, queue in self._watchers:
            if watched == plural:
                queue.put_nowait((change, copy.deepcopy(obj)))

    def conditions(self, plural: str, name: str) -> dict[str, tuple[str, str, str]]:
        found = self.objects[(plural, name)].get("status", {}).get("conditions", [])
        return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in found}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Kube]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        server = TestServer(app)
        await server.start_server()
        async with Kube(str(server.make_url("")).rstrip("/"), token="t", ca=None, user_agent="test") as kube:
            yield kube
        await server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = [p for p in request.path.split("/") if p][2 if request.path.startswith("/api/") else 3 :]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        plural, name, sub = (*parts, "", "")[:3]
        body = await request.json() if request.can_read_body else None
        if request.method == "GET" and name:
            obj = self.objects.get((plural, name))
            return web.json_response(obj) if obj else _status(404, "NotFound", f'{plural} "{name}" not found')
        if request.method == "GET":
            return await self._list(request, plural)
        if request.method == "POST":
            if plural == "events":
                self.events.append(body)
                return web.json_response(body, status=201)
            if (plural, body["metadata"]["name"]) in self.objects:
                return _status(409, "AlreadyExists", "exists")
            return web.json_response(self.put(plural, body), status=201)
        if request.method == "DELETE":
            gone = self.remove(plural, name)
            return web.json_response({}) if gone else _status(404, "NotFound", f'{plural} "{name}" not found')
        return self._change(request.method, plural, name, sub, body)

    def _change(self, method: str, plural: str, name: str, sub: str, body: Obj) -> web.Response:
        old = self.objects.get((plural, name))
        if old is None:
            return _status(404, "NotFound", f'{plural} "{name}" not found')
        fresh = copy.deepcopy(old)
        if method == "PATCH":
            _merge(fresh, body)
            return web.json_response(self.put(plural, fresh))
        if body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            self.conflicts += 1
            return _status(409, "Conflict", "the object has been modified")
        if sub == "status":
            fresh["status"] = body.get("status", {})
        return web.json_response(self.put(plural, fresh))

    async def _list(self, request: web.Request, plural: str) -> web.StreamResponse:
        queue: asyncio.Queue[tuple[str, Obj]] = asyncio.Queue()
        wanted = dict(pair.split("=", 1) for pair in request.query.get("labelSelector", "").split(",") if pair)
        if "watch" not in request.query:
            items = [o for (p, _n), o in self.objects.items() if p == plural and _has(o, wanted)]
            version = str(next(self._version))
            return web.json_response({"items": items, "metadata": {"resourceVersion": version}})
        since = int(request.query["resourceVersion"])
        for (p, _n), obj in list(self.objects.items()):
            if p == plural and int(obj["metadata"]["resourceVersion"]) > since:
                queue.put_nowait(("MODIFIED", obj))
        watcher = (plural, queue)
        self._watchers.append(watcher)
        stream = web.StreamResponse()
        await stream.prepare(request)
        try:
            while True:
                change, obj = await queue.get()
                await stream.write(json.dumps({"type": change, "object": obj}).encode() + b"\n")
        except ConnectionResetError:
            return stream
        finally:
            self._watchers.remove(watcher)


def _has(obj: Obj, labels: dict[str, str]) -> bool:
    own = obj["metadata"].get("labels") or {}
    return all(own.get(k) == v for k, v in labels.items())


def _merge(target: Obj, patch: Obj) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


def cluster(api: FakeApi, *nodes: str) -> None:
    """Ready workers, each with a handler pod."""
    for name in nodes:
        ready = [{"type": "Ready", "status": "True"}]
        labels = {"kubernetes.io/hostname": name, "node-role.kubernetes.io/worker": ""}
        api.put("nodes", {"metadata": {"name": name, "labels": labels}, "status": {"conditions": ready}})
        labels = {"component": "kubernetes-nmstate-handler"}
        api.put("pods", {"metadata": {"name": f"nmstate-handler-{name}", "labels": labels}, "spec": {"nodeName": name}})


def nncp(name: str, **spec: Any) -> Obj:
    spec.setdefault("desiredState", {"interfaces": []})
    return {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": name},
            "spec": spec}  # fmt: skip
