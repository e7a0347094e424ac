"""Put the server together and run it on given sockets, until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from lab.embedded.apiserver import auth, builtin, crd, crdfiles, openapi, rbac, trouble
from lab.embedded.apiserver.admission import Webhooks
from lab.embedded.apiserver.app import ApiApp, Parts
from lab.embedded.apiserver.audit import AuditLog
from lab.embedded.apiserver.deletes import Deleter
from lab.embedded.apiserver.lifecycle import COLLECTOR, Lifecycle
from lab.embedded.apiserver.pki import Pki
from lab.embedded.apiserver.podops import PodOperations
from lab.embedded.apiserver.podsecurity import PodSecurity
from lab.embedded.apiserver.proxying import Proxy
from lab.embedded.apiserver.requests import Call, User, expect_object
from lab.embedded.apiserver.resources import Registry
from lab.embedded.apiserver.reviews import Reviews
from lab.embedded.apiserver.store import Store
from lab.embedded.apiserver.strategies import builtin_strategies
from lab.embedded.apiserver.tokens import TokenIssuer
from lab.embedded.apiserver.writes import Writer
from lab.embedded.model.spec import Level

Obj = dict[str, Any]
log = logging.getLogger(__name__)

VERSION: Obj = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4",
    "gitCommit": "59526cd4867447956156ae3a602fcbac10a2c335",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T16:02:27Z",
    "goVersion": "go1.23.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# With IP_FREEBIND an address can be listened on before it is there (Linux ip(7)).
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78


@dataclass
class ApiConfig:
    """Everything that the server needs.

    `sockets` listen already (the first one's address is told to clients); `binds` are further (address, port) pairs
    of this network namespace, which need not be there yet; `tokens` are bearer tokens with their users.
    """

    sockets: Sequence[socket.socket]
    pki: Pki
    tokens: Mapping[str, User]
    binds: Sequence[tuple[str, int]] = ()
    agent_token: str = ""
    advertise: tuple[str, int] | None = None
    """Where nodes reach the server: the endpoint of the Service `kubernetes`."""
    unserved: Collection[tuple[str, str]] = ()
    """(group, version) of the lab's CRDs that this cluster is too new for."""
    absent: Collection[tuple[str, str]] = ()
    """(CRD, field) of the lab's CRDs that it is too old for."""
    audit: Path | None = None
    """Where the audit log is written, and the names of users that it leaves out."""
    unaudited: Collection[str] = ()
    troubled: bool = False
    """Whether what `trouble` does may be switched on, by SIGHUP to this process."""
    pod_security: Level = "privileged"
    """What namespaces enforce that say nothing of it."""
    version: Mapping[str, str] = field(default_factory=lambda: dict(VERSION))
    crds: Path = Path(__file__).parent / "crds"


async def serve(config: ApiConfig, *, ready: asyncio.Event | None = None) -> None:
    """Serve until cancelled; `ready` is set when requests are answered. Raises OSError when a bind is refused."""
    parts, webhooks = _assemble(config)
    lifecycle = Lifecycle(parts.store, parts.registry, parts.deleter, config.pki.ca.read_text())
    await bootstrap(parts.writer, crdfiles.load(config.crds, config.unserved, config.absent))
    if config.advertise is not None:
        await _make(parts.writer, endpoints(*config.advertise))
    # What was made so far stays: without it each full collection walks the schemas again.
    gc.collect()
    gc.freeze()
    options: Obj = {
        "access_log": None,
        "logger": _quiet_server(),
        "handle_signals": False,
        "keepalive_timeout": 300.0,
        "shutdown_timeout": 0.2,
    }
    ailing = trouble.Trouble()
    runner = web.AppRunner(ApiApp(parts).application(ailing.middleware), **options)
    await runner.setup()
    context = auth.server_context(str(config.pki.server_cert), str(config.pki.server_key), str(config.pki.ca))
    if config.troubled:
        trouble.obey(ailing, context, config.pki)
    loop = asyncio.create_task(lifecycle.run(), name="lifecycle")
    try:
        for listening in [*config.sockets, *(_early_bind(*pair) for pair in config.binds)]:
            await web.SockSite(runner, listening, ssl_context=context, backlog=256).start()
        if ready is not None:
            ready.set()
        await loop
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await runner.cleanup()
        await webhooks.close()
        await parts.proxy.close()


def _assemble(config: ApiConfig) -> tuple[Parts, Webhooks]:
    store, registry = Store(), Registry()
    for resource in builtin.builtin_resources():
        registry.add(resource)
    webhooks = Webhooks(store, registry)
    admission = PodSecurity(webhooks, store, config.pod_security)
    writer = Writer(store, registry, admission, {**builtin_strategies(), crd.COLLECTION: crd.CrdStrategy()})
    deleter = Deleter(writer)
    proxy = Proxy(store, config.pki.ca, config.agent_token)
    tokens = TokenIssuer(store)
    authenticator, authorizer = auth.Authenticator(config.tokens, tokens), rbac.Authorizer(store)
    parts = Parts(
        store=store,
        registry=registry,
        authenticator=authenticator,
        authorizer=authorizer,
        writer=writer,
        deleter=deleter,
        pods=PodOperations(writer, deleter, proxy),
        proxy=proxy,
        reviews=Reviews(authenticator, authorizer),
        openapi=openapi.OpenApi(registry),
        version=dict(config.version),
        tokens=tokens,
        audit=AuditLog(config.audit, config.unaudited),
        address=_address(config.sockets),
    )
    return parts, webhooks


def _quiet_server() -> logging.Logger:
    """The HTTP server's log, where what is no HTTP is a client's mistake: a line, not a traceback of the server."""

    def shorten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
            record.exc_info = None
        return True

    logger = log.getChild("http")
    logger.filters[:] = [shorten]
    return logger


def _address(sockets: Sequence[socket.socket]) -> str:
    if not sockets:
        return ""
    host, port = sockets[0].getsockname()[:2]
    return f"{host}:{port}"


def _early_bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:
        listening.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    listening.bind((address, port))
    listening.listen(256)
    listening.setblocking(False)
    return listening


async def bootstrap(writer: Writer, crds: Sequence[Obj]) -> None:
    """Objects that a fresh cluster has: namespaces, default roles, the lab's CRDs."""
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        await _make(writer, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    port = {"name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP"}
    meta = {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"component": "apiserver", "provider": "kubernetes"},
    }
    spec = {"clusterIP": "10.96.0.1", "ports": [port]}
    await _make(writer, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    for obj in rbac.default_roles():
        await _make(writer, obj)
    for obj in crds:
        await _make(writer, obj)


def endpoints(address: str, port: int) -> Obj:
    """The endpoint of the Service `kubernetes`, as kube-apiserver keeps it (pkg/controlplane/reconcilers)."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
        ],
    }


async def _make(writer: Writer, obj: Obj) -> None:
    resource = writer.registry.by_kind(obj["apiVersion"], obj["kind"])
    if resource is None:
        raise ValueError(f"the server serves no {obj['kind']} of {obj['apiVersion']}, wanted by its own start")
    call = Call(COLLECTOR, resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], manager="virtlab")
    await writer.create(call, expect_object(obj, resource))


@contextlib.asynccontextmanager
async def running(config: ApiConfig) -> Any:
    """The server as a context: entered when it answers, left when it has stopped."""
    ready = asyncio.Event()
    task = asyncio.create_task(serve(config, ready=ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
