"""A cluster for tests: the real API server and the real operators in one loop, with nodes that only pretend.

The pretended nodes write what kubelet and virt-handler write (pod status, VMI status), from the outside, over HTTPS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.embedded.apiserver.pki import Authority, create_pki
from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, running
from lab.embedded.kube import Informers, Kube, KubeError
from lab.embedded.model.kinds import LEASE, NODE, POD, VMI
from lab.embedded.operators.main import Config, run
from lab.embedded.operators.objects import clone, deleting, dig, has_condition, key_of, now, phase_of

Obj = dict[str, Any]
MASTERS = ("system:masters",)
AGENT_TOKEN = "agent-token"


@dataclass
class Cluster:
    """An administrator's client, informers, the nodes, and where virt-api listens."""

    kube: Kube
    informers: Informers
    nodes: Nodes
    server: str
    ca: Path
    config: Config
    operators: asyncio.Task[None] | None = None

    async def start_operators(self) -> None:
        """Start them and wait until they are registered."""
        ready, begun = asyncio.Event(), time.monotonic()
        self.operators = asyncio.create_task(run(self.config, ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([self.operators, waiting], timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.operators.done():
            await self.operators
        print(f"operators ready after {time.monotonic() - begun:.3f} s")

    async def stop_operators(self) -> None:
        if self.operators is not None:
            self.operators.cancel()
            await asyncio.gather(self.operators, return_exceptions=True)

    async def until(self, kind: Any, key: str, holds: Callable[[Obj], Any], seconds: float = 5.0) -> Obj:
        """The object once `holds(object)`; the time-out shows what it was last."""
        informer = self.informers.get(kind)
        try:
            await informer.wait_for(lambda items: key in items and bool(holds(items[key])), seconds)
        except TimeoutError:
            raise AssertionError(f"{kind.kind} {key} did not get there: {informer.items.get(key)}") from None
        return informer.items[key]

    async def gone(self, kind: Any, key: str, seconds: float = 5.0) -> None:
        informer = self.informers.get(kind)
        try:
            await informer.wait_for(lambda items: key not in items, seconds)
        except TimeoutError:
            raise AssertionError(f"{kind.kind} {key} is still there: {informer.items.get(key)}") from None


class Nodes:
    """Pretended nodes: pods run as soon as they are bound, guests as soon as they are scheduled."""

    def __init__(self, kube: Kube, informers: Informers, names: list[str], port: int) -> None:
        self.kube, self.names, self.port = kube, names, port
        self.pods, self.vmis = informers.get(POD), informers.get(VMI)
        self.hold_target = False
        self.hold_migration = False
        self.hold_sending = False
        """A migration stays in pre-copy, until it is called off."""
        self.deaf = False
        """A migration that is called off is carried through all the same."""
        self.fail_migration = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        for name in self.names:
            node = self._node(name)
            await self.kube.create(NODE, node)
            await self.kube.patch(NODE, name, None, {"status": node["status"]}, subresource="status")
            await self.beat(name)
        self.pods.subscribe(lambda _change, pod: self._spawn(self._pod(key_of(pod))))
        self.vmis.subscribe(lambda _change, vmi: self._spawn(self._vmi(key_of(vmi))))

    async def beat(self, name: str, stamp: str = "") -> None:
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": stamp or now()[:-1] + ".000000Z"}
        meta = {"name": name, "namespace": "kube-node-lease"}
        try:
            await self.kube.create(LEASE, {"metadata": meta, "spec": spec})
        except KubeError:
            await self.kube.patch(LEASE, name, "kube-node-lease", {"spec": spec})

    def _node(self, name: str) -> Obj:
        free = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        free |= {f"devices.kubevirt.io/{device}": "1k" for device in ("kvm", "tun", "vhost-net")}
        return {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "allocatable": free,
                "capacity": free,
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            },
        }

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Any) -> None:
        with contextlib.suppress(KubeError):
            await work

    async def _pod(self, key: str) -> None:
        pod = self.pods.items.get(key)
        if pod is None or not dig(pod, "spec", "nodeName"):
            return
        namespace, name = key.split("/")
        if deleting(pod):
            await self.kube.delete(POD, name, namespace, grace=0)
        elif phase_of(pod) == "Pending":
            if self.hold_target and "kubevirt.io/migrationJobUID" in pod["metadata"]["labels"]:
                return
            status = {
                "phase": "Running",
                "podIP": "10.128.0.9",
                "conditions": [_readiness(pod)],
                "containerStatuses": [
                    {"name": "compute", "ready": True, "restartCount": 0, "image": "i", "imageID": "", "state": {}}
                ],
            }
            await self.kube.patch(POD, name, namespace, {"status": status}, type="strategic", subresource="status")
        elif phase_of(pod) == "Running" and not has_condition(pod, "Ready", _readiness(pod)["status"]):
            status = {"conditions": [_readiness(pod)]}
            await self.kube.patch(POD, name, namespace, {"status": status}, type="strategic", subresource="status")

    async def end_pod(self, key: str, phase: str = "Succeeded") -> None:
        namespace, name = key.split("/")
        done = {"name": "compute", "ready": False, "restartCount": 0, "image": "i", "imageID": ""}
        done["state"] = {"terminated": {"exitCode": 0, "finishedAt": now()}}
        status = {"phase": phase, "containerStatuses": [done]}
        await self.kube.patch(POD, name, namespace, {"status": status}, type="strategic", subresource="status")

    async def edit(self, key: str, change: Callable[[Obj], None]) -> None:
        """Read, change and write a VMI, again after a conflict, as virt-handler does."""
        namespace, name = key.split("/")
        for _ in range(20):
            vmi = await self.kube.get(VMI, name, namespace)
            fresh = clone(vmi)
            change(fresh)
            try:
                await self.kube.update(VMI, fresh)
                return
            except KubeError as error:
                if not error.conflict:
                    raise

    async def _vmi(self, key: str) -> None:
        vmi = self.vmis.items.get(key)
        if vmi is None:
            return
        phase, state = phase_of(vmi), dig(vmi, "status", "migrationState", default={})
        if phase == "Scheduled":
            await self.edit(key, _started)
        elif deleting(vmi) and phase == "Running":
            await self.edit(key, lambda vmi: vmi["status"].update(phase="Succeeded"))
        elif state and not state.get("completed") and not self.hold_migration:
            await self._migrate(key, state)

    async def _migrate(self, key: str, state: Obj) -> None:
        if state.get("abortRequested") and not self.deaf:
            result = {"abortStatus": "Succeeded", "failed": True, "completed": True, "endTimestamp": now()}
            await self.edit(key, _merge_state({**result, "failureReason": "Live migration has been aborted"}))
        elif not state.get("targetNodeAddress"):
            ports = {"40000": 49152}
            await self.edit(
                key, _merge_state({"targetNodeAddress": "10.0.0.2", "targetDirectMigrationNodePorts": ports})
            )
        elif not state.get("startTimestamp"):
            await self.edit(key, _merge_state({"startTimestamp": now(), "mode": "PreCopy"}))
        elif self.fail_migration:
            result = {"failed": True, "completed": True, "endTimestamp": now(), "failureReason": self.fail_migration}
            await self.edit(key, _merge_state(result))
        elif self.hold_sending and not state.get("abortRequested"):
            return
        elif not state.get("targetNodeDomainReadyTimestamp"):
            ready = {"targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": now()}
            await self.edit(key, _merge_state(ready))
        else:
            await self._take_over(key, state)

    async def _take_over(self, key: str, state: Obj) -> None:
        target = f"{key.split('/')[0]}/{state['targetPod']}"
        annotation = "kubevirt.io/migration-target-ready-timestamp"
        await self.pods.wait_for(lambda items: annotation in items[target]["metadata"]["annotations"], 2.0)

        def moved(vmi: Obj) -> None:
            vmi["metadata"]["labels"]["kubevirt.io/nodeName"] = state["targetNode"]
            vmi["status"]["nodeName"] = state["targetNode"]
            vmi["status"].pop("evacuationNodeName", None)
            vmi["status"]["migrationState"].update(endTimestamp=now(), completed=True)

        await self.edit(key, moved)
        await self.end_pod(f"{key.split('/')[0]}/{state['sourcePod']}")


def _readiness(pod: Obj) -> Obj:
    """The kubelet's word on a pod whose containers run: its readiness gates decide."""
    gates = [gate["conditionType"] for gate in dig(pod, "spec", "readinessGates", default=[])]
    if all(has_condition(pod, gate) for gate in gates):
        return {"type": "Ready", "status": "True", "reason": "", "message": ""}
    return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": "gates"}


def _started(vmi: Obj) -> None:
    if phase_of(vmi) != "Scheduled":
        return
    status = vmi["status"]
    status["phase"] = "Running"
    status.setdefault("phaseTransitionTimestamps", []).append({"phase": "Running", "phaseTransitionTimestamp": now()})
    conditions = [entry for entry in status.get("conditions") or [] if entry["type"] != "LiveMigratable"]
    status["conditions"] = [*conditions, {"type": "LiveMigratable", "status": "True"}]
    for interface in status.get("interfaces") or []:
        if interface["podInterfaceName"] == "eth0":
            interface["ipAddress"] = "10.128.0.9"


def _merge_state(change: Obj) -> Callable[[Obj], None]:
    def edit(vmi: Obj) -> None:
        vmi["status"]["migrationState"].update(change)

    return edit


async def _agent(routes: list[web.RouteDef]) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


@contextlib.asynccontextmanager
async def cluster(
    folder: Path, *, workers: int = 3, routes: list[web.RouteDef] | None = None
) -> AsyncIterator[Cluster]:
    """A running cluster; leaves nothing behind. `routes` are those of every node's agent."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    listening.setblocking(False)
    server = f"https://127.0.0.1:{listening.getsockname()[1]}"
    pki = create_pki(folder / "pki")
    cert, key = Authority.load(pki.ca, pki.ca_key).issue("operators", sans=("127.0.0.1",))
    (folder / "op.crt").write_bytes(cert)
    (folder / "op.key").write_bytes(key)
    users = {
        "admin": User("kubernetes-admin", MASTERS),
        "controller": User("system:serviceaccount:kubevirt:kubevirt-controller", MASTERS),
        "node": User("system:serviceaccount:kubevirt:kubevirt-handler", MASTERS),
    }
    config = Config(
        server=server,
        ca=pki.ca,
        token="controller",
        agent_token=AGENT_TOKEN,
        cert=folder / "op.crt",
        key=folder / "op.key",
        webhook_port=0,
        virtapi_port=0,
    )
    runner, port = await _agent(routes or [])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await stack.enter_async_context(
            running(ApiConfig(sockets=[listening], pki=pki, tokens=users, agent_token=AGENT_TOKEN))
        )
        kube = Kube(server, token="admin", ca=pki.ca, user_agent="test")
        node_kube = Kube(server, token="node", ca=pki.ca, user_agent="nodes")
        stack.push_async_callback(kube.close)
        stack.push_async_callback(node_kube.close)
        informers = Informers(kube)
        stack.push_async_callback(informers.close)
        nodes = Nodes(node_kube, informers, [f"worker-{index + 1}" for index in range(workers)], port)
        await informers.start()
        await nodes.start()
        lab = Cluster(kube, informers, nodes, server, pki.ca, config)
        stack.push_async_callback(lab.stop_operators)
        await lab.start_operators()
        yield lab


def client_tls(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(ca))
    return context
