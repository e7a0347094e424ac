"""The kubelet of one node: its Node object and heartbeat, its system pods, and a worker per pod bound to it.

It says Ready only while the node's own parts answer.  Pods it does not know an object of have no business
here; guests, networks of OVN and node configuration are other rooms' work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lab.embedded.host.command import CommandFailed
from lab.embedded.host.link import ip_json
from lab.embedded.host.linkwatch import BridgeWatch
from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import LEASE, NAD, NAMESPACE, NODE, POD
from lab.embedded.node import nodeobject, rootfs
from lab.embedded.node.cni import Cni
from lab.embedded.node.containers import tool_path
from lab.embedded.node.context import NodeContext
from lab.embedded.node.launcher import Launchers
from lab.embedded.node.leftout import LeftOut
from lab.embedded.node.nodeobject import SYSTEM_PODS, SystemPod
from lab.embedded.node.podroutes import PodRoutes
from lab.embedded.node.podworker import PodWorker, Tools

log = logging.getLogger(__name__)
Obj = dict[str, Any]
HEARTBEAT_SECONDS, RENEWAL_RETRY_SECONDS = 3.0, 0.5
STATUS_SECONDS = 5.0
STARTING_SECONDS = 0.1
Check = Callable[[], Awaitable[bool]]


class Kubelet:
    """Registers the node and runs its pods.

    ``ready`` are checks by name, each true when that part of the node (OVS, OVN, ...) answers.
    """

    def __init__(self, ctx: NodeContext, launchers: Launchers, ready: Mapping[str, Check], left_out: LeftOut) -> None:
        self.ctx, self.launchers, self.left_out = ctx, launchers, left_out
        self.ready = dict(ready)
        self.pods = ctx.informers.get(POD)
        self.nodes = ctx.informers.get(NODE)
        ctx.informers.get(NAD)
        self.workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._gone: set[str] = set()
        self._uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, ctx.node.chassis))
        self._known: list[Obj] = []
        self._is_ready = asyncio.Event()
        self._tools: Tools | None = None

    def routes(self) -> list[web.RouteDef]:
        """exec, attach, logs and dial of the pods here."""
        return PodRoutes(self.pods, self.workers, lambda: self._tools.path if self._tools else "").routes()

    async def run(self) -> None:
        """Serve until cancelled."""
        cni = Cni(self.ctx)
        await self._settle(cni)
        self._tools = Tools(self.ctx, cni, self.launchers, await tool_path(self.ctx.rundir / "bin"))
        await self._register()
        await self.nodes.synced()
        await self.pods.synced()
        self.pods.subscribe(self._pod)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeat())
            group.create_task(self._report())
            group.create_task(self._system_pods())

    async def _settle(self, cni: Cni) -> None:
        """Leftovers of an earlier agent go first; that needs OVS to answer."""
        while True:
            try:
                await cni.clean()
                return
            except CommandFailed as error:
                log.info("waiting for OVS: %s", error.found)
                await asyncio.sleep(STARTING_SECONDS)

    async def _register(self) -> Obj:
        node = self.ctx.node
        try:
            return await self.ctx.kube.create(NODE, nodeobject.node_object(node))
        except KubeError as refusal:
            if not refusal.already_exists:
                raise
        return await self.ctx.kube.patch(NODE, node.name, None, {"metadata": {"labels": nodeobject.labels(node)}})

    async def _waiting_for(self) -> list[str]:
        """Names of the parts that do not answer."""

        async def silent(name: str, check: Check) -> str:
            try:
                return "" if await check() else name
            except (CommandFailed, OSError, TimeoutError, KubeError) as error:
                log.debug("%s is not ready: %s", name, error)
                return name

        return [name for name in await asyncio.gather(*(silent(n, c) for n, c in self.ready.items())) if name]

    async def _report(self) -> None:
        """Keep Node.status true: often until Ready for the first time, then every few seconds, and at once when a
        Linux bridge came or went."""
        written: Obj = {}
        with contextlib.closing(BridgeWatch()) as bridges:
            while True:
                waiting = await self._waiting_for()
                status = nodeobject.node_status(self.ctx.node, waiting, await self._resources(), self._uuid)
                written = await self._tell(status, written)
                if not waiting:
                    self._is_ready.set()
                await bridges.changed(STATUS_SECONDS if self._is_ready.is_set() and written else STARTING_SECONDS)

    async def _tell(self, status: Obj, written: Obj) -> Obj:
        """Write a status unlike what was written last; what is written now, nothing after a refusal."""
        nodeobject.keep_transitions(status["conditions"], self._known)
        shape = {**status, "conditions": [(c["type"], c["status"], c["message"]) for c in status["conditions"]]}
        if shape == written:
            return written
        try:
            await self.ctx.kube.patch(
                NODE, self.ctx.node.name, None, {"status": status}, type="strategic", subresource="status"
            )
        except KubeError as refusal:
            log.warning("node status: %s", refusal)
            if refusal.not_found:
                await self._register()
            return {}
        self._known = status["conditions"]
        return shape

    async def _resources(self) -> Obj:
        """What the node offers, its Linux bridges included; the scheduler must not hear late of one that went."""
        bridges = [link["ifname"] for link in await ip_json(["link", "show", "type", "bridge"])]
        node = self.nodes.items.get(self.ctx.node.name) or {}
        return nodeobject.resources(sorted(bridges), node.get("status", {}).get("capacity") or ())

    async def _heartbeat(self) -> None:
        """Renew the Lease; a node whose Lease is stale is NotReady for the controllers."""
        await self._namespace("kube-node-lease")
        while True:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            lease = nodeobject.lease(self.ctx.node, stamp)
            pause = HEARTBEAT_SECONDS
            try:
                body = {"spec": lease["spec"]}
                await self.ctx.kube.patch(LEASE, lease["metadata"]["name"], lease["metadata"]["namespace"], body)
            except KubeError as refusal:
                if refusal.not_found:
                    with contextlib.suppress(KubeError):
                        await self.ctx.kube.create(LEASE, lease)
                        continue
                log.warning("node lease: %s", refusal)
                pause = RENEWAL_RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _namespace(self, name: str) -> None:
        try:
            await self.ctx.kube.create(NAMESPACE, {"metadata": {"name": name}})
        except KubeError as refusal:
            if not refusal.already_exists:
                raise

    async def _system_pods(self) -> None:
        """Create this node's own pods once it is Ready, and again when somebody deletes one, or the Node with all.

        Those that are left out go.
        """
        await self._is_ready.wait()
        missing = asyncio.Event()
        missing.set()
        self.pods.subscribe(lambda change, _pod: missing.set() if change == "DELETED" else None)
        self.nodes.subscribe(lambda change, _node: missing.set() if change == "ADDED" else None)
        self.left_out.subscribe(missing.set)
        while True:
            await missing.wait()
            missing.clear()
            node = self.nodes.items.get(self.ctx.node.name)
            if node is None:
                continue
            for kind in SYSTEM_PODS:
                await self._system_pod(kind, node)
            self.left_out.taken()

    async def _system_pod(self, kind: SystemPod, node: Obj) -> None:
        pod = nodeobject.system_pod(kind, self.ctx.node, node)
        name, there = pod["metadata"]["name"], f"{kind.namespace}/{pod['metadata']['name']}" in self.pods.items
        out = kind.prefix in self.left_out.names
        if there is not out:
            return
        try:
            if out:
                await self.ctx.kube.delete(POD, name, kind.namespace, grace=0)
                return
            await self._namespace(kind.namespace)
            await self.ctx.kube.create(POD, pod)
        except KubeError as refusal:
            if not (refusal.already_exists or refusal.not_found):
                log.warning("system pod %s: %s", name, refusal)

    def _pod(self, change: str, pod: Obj) -> None:
        """An event of any pod; only those bound to this node matter."""
        if pod["spec"].get("nodeName") != self.ctx.node.name or self._tools is None:
            return
        uid = pod["metadata"]["uid"]
        if change == "DELETED":
            self._gone.add(uid)
            task = self._tasks.get(uid)
            if task is not None:
                task.cancel()
            else:
                self._forget(uid)
        elif uid in self.workers:
            self.workers[uid].update(pod)
        else:
            worker = PodWorker(self._tools, pod)
            self.workers[uid] = worker
            self._tasks[uid] = task = asyncio.create_task(worker.run(), name=f"pod {worker.name}")
            task.add_done_callback(lambda done: self._over(uid, done))

    def _over(self, uid: str, task: asyncio.Task[None]) -> None:
        self.workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("worker of %s failed", task.get_name(), exc_info=error)
        if uid in self._gone:
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        """A pod's logs stay as long as its object; virt-handler's of its guest lie under the same UID."""
        self._gone.discard(uid)
        for kept in ("pods", "guests"):
            rootfs.forget(self.ctx.rundir / kept / uid)
