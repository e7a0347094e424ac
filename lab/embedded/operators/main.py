"""The operators' process: every controller, the admission webhooks and virt-api, as clients of one API server.

Order of a start: custom resources it needs, then servers listening, then informers, then controllers, and only then the
registrations, so that nothing is ever sent to a server that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.embedded.kube import Informers, Kube
from lab.embedded.model.kinds import KUBEVIRT, NODE
from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KNOWN, KubevirtRelease, NmstateRelease
from lab.embedded.operators import names
from lab.embedded.operators.admission.handlers import Admission, Releases
from lab.embedded.operators.evacuation import EvacuationController
from lab.embedded.operators.handover import ReadyStamp
from lab.embedded.operators.launcher import LauncherConfig
from lab.embedded.operators.migration import MigrationController
from lab.embedded.operators.migration_config import cluster_configuration
from lab.embedded.operators.nodes import NodeController
from lab.embedded.operators.objects import Obj, dig
from lab.embedded.operators.reconcile import Controller
from lab.embedded.operators.recorder import Recorder
from lab.embedded.operators.scheduler import Scheduler
from lab.embedded.operators.setup import install, install_crds, register_all
from lab.embedded.operators.systempods import SystemPods, system_pods
from lab.embedded.operators.virtapi.agents import Agents
from lab.embedded.operators.virtapi.app import VirtApi
from lab.embedded.operators.vm import VmController
from lab.embedded.operators.vmi import VmiController
from lab.embedded.operators.webhooks import application

log = logging.getLogger("virtlab.operators")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Config:
    """What the process is given.

    `cert` and `key` are the serving pair for webhooks and virt-api (127.0.0.1 among its names), signed by `ca`, which
    also signed the API server's certificate. Port 0 takes a free one.
    """

    server: str
    ca: Path
    token: str
    agent_token: str
    cert: Path
    key: Path
    kubevirt: KubevirtRelease = DEFAULT_KUBEVIRT
    webhook_port: int = 9443
    virtapi_port: int = 9444
    mac_pool: bool = True
    nmstate: NmstateRelease = KNOWN[-1]
    log: Path | None = None
    """The file of this process's log, which the virt-controller pod shows."""

    @property
    def launcher_image(self) -> str:
        return f"quay.io/kubevirt/virt-launcher:{self.kubevirt.version}"


async def run(config: Config, ready: asyncio.Event | None = None) -> None:
    """Operate until cancelled. `ready` is set when webhooks and virt-api are registered and every controller works."""
    kube = Kube(config.server, token=config.token, ca=config.ca, user_agent="virtlab-operators")
    informers = Informers(kube)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(kube.close)
        await install_crds(kube)
        operators = Operators(config, kube, informers)
        stack.push_async_callback(operators.agents.close)
        webhook_url = await stack.enter_async_context(serve(application(operators.hooks), config, config.webhook_port))
        virtapi_url = await stack.enter_async_context(
            serve(operators.virtapi.application(), config, config.virtapi_port)
        )
        stack.push_async_callback(informers.close)
        await asyncio.gather(informers.start(), install(kube, config.kubevirt.version))
        async with asyncio.TaskGroup() as group:
            for name, work in operators.work():
                group.create_task(work, name=name)
            await register_all(kube, operators.hooks, webhook_url, virtapi_url, config.ca)
            log.info("operators ready: webhooks at %s, virt-api at %s", webhook_url, virtapi_url)
            if ready is not None:
                ready.set()


class Operators:
    """Every controller and server of the process, wired but not started."""

    def __init__(self, config: Config, kube: Kube, informers: Informers) -> None:
        self.config = config
        self._kubevirts = informers.get(KUBEVIRT, namespace=names.SYSTEM_NAMESPACE)
        nodes = informers.get(NODE)
        self.recorder = Recorder(kube)
        self.scheduler_recorder = Recorder(kube, "default-scheduler")
        self.node_recorder = Recorder(kube, "node-controller")
        self.agents = Agents(lambda: nodes.items, config.agent_token)
        releases = Releases(config.nmstate, config.kubevirt)
        self.hooks = Admission(kube, informers, self.kubevirt, mac_pool=config.mac_pool, releases=releases).hooks()
        self.virtapi = VirtApi(kube, informers, self.agents, config.kubevirt.version)
        self.controllers: tuple[Controller, ...] = (
            ReadyStamp(kube, informers),
            Scheduler(kube, informers, self.scheduler_recorder),
            VmController(kube, informers, self.recorder, config.kubevirt),
            VmiController(kube, informers, self.recorder, self.launcher),
            MigrationController(kube, informers, self.recorder, self.launcher, self.migrations),
            EvacuationController(kube, informers, self.recorder, self.migrations),
            NodeController(kube, informers, self.node_recorder),
            SystemPods(kube, informers, system_pods(config.kubevirt.version, config.log)),
        )

    def kubevirt(self) -> Obj | None:
        """The KubeVirt CR."""
        return next(iter(self._kubevirts.items.values()), None)

    def launcher(self) -> LauncherConfig:
        emulation = dig(self.kubevirt(), "spec", "configuration", "developerConfiguration", "useEmulation")
        return LauncherConfig(self.config.launcher_image, use_emulation=emulation is not False)

    def migrations(self) -> Obj:
        return {**self.config.kubevirt.migration_defaults, **cluster_configuration(self.kubevirt())}

    def work(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        recorders = (self.recorder, self.scheduler_recorder, self.node_recorder)
        found: list[tuple[str, Coroutine[Any, Any, None]]] = [("events", entry.run()) for entry in recorders]
        return found + [(entry.name, entry.run()) for entry in self.controllers]


@contextlib.asynccontextmanager
async def serve(app: web.Application, config: Config, port: int) -> AsyncIterator[str]:
    """Serve HTTPS on the loopback address; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.cert, config.key)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=120.0, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port, ssl_context=context)
        await site.start()
        yield f"https://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
