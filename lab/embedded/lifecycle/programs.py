"""What each forked process of a lab runs: API server, controllers, node agent.

The composition of all rooms happens here and nowhere else.  This room must not contain behaviour.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from lab.embedded.apiserver.serve import ApiConfig, serve
from lab.embedded.kube import Informers, Kube
from lab.embedded.lifecycle import keys
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.kinds import NODE
from lab.embedded.model.spec import AGENT_PORT, API_ADDRESS, API_PORT, LabSpec, NodeSpec
from lab.embedded.node.context import Component, NodeContext
from lab.embedded.node.kubelet import Kubelet
from lab.embedded.node.launcher import Launchers
from lab.embedded.node.leftout import LeftOut
from lab.embedded.node.machine import take_address
from lab.embedded.node.networkmanager.service import NetworkManager
from lab.embedded.node.networkmanager.session import Session
from lab.embedded.node.nmstate.dhcp import DhcpClients
from lab.embedded.node.nmstate.handler import NmstateHandler
from lab.embedded.node.nmstate.settings import folder as nmstate_folder
from lab.embedded.node.ovnkube import OvnKube
from lab.embedded.node.programlogs import ComponentLogs
from lab.embedded.node.server import serve_agent
from lab.embedded.node.virthandler import VirtHandler
from lab.embedded.node.zone import Zone
from lab.embedded.operators import main as operators

log = logging.getLogger("virtlab")
PODS = {"nmstate": "nmstate-handler"}
"""Components whose pod has another name."""


def configure_logging() -> None:
    """One line per record, to the process's own log file."""
    logging.basicConfig(
        level=os.environ.get("VIRTLAB_LOG", "INFO"),
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("qemu.qmp").setLevel(logging.ERROR)


async def apiserver(layout: Layout, spec: LabSpec, sockets: list[socket.socket]) -> None:
    """The Kubernetes API, on sockets that listen already."""
    await serve(
        ApiConfig(
            sockets=sockets,
            pki=keys.paths(layout),
            tokens=keys.users(layout, spec),
            agent_token=keys.token(layout, keys.AGENT),
            audit=layout.logs / "audit.log",
            unaudited=keys.own_users(layout, spec),
            advertise=(API_ADDRESS, API_PORT),
            unserved=spec.release.unserved,
            troubled=True,
            pod_security=spec.pod_security,
            absent=spec.virtualization.absent,
        )
    )


async def controllers(layout: Layout, spec: LabSpec) -> None:
    """Operators, webhooks and virt-api: clients of the API like any other."""
    pki = keys.paths(layout)
    await operators.run(
        operators.Config(
            server=f"https://127.0.0.1:{API_PORT}",
            ca=pki.ca,
            token=keys.token(layout, keys.CONTROLLERS),
            agent_token=keys.token(layout, keys.AGENT),
            cert=pki.server_cert,
            key=pki.server_key,
            nmstate=spec.release,
            kubevirt=spec.virtualization,
            log=layout.logs / "controllers.log",
        )
    )


async def agent(node: NodeSpec, layout: Layout, spec: LabSpec, guest: tuple[str, str], wired: int) -> None:
    """A node: its Open vSwitch and OVN zone, and every component that acts on it."""
    zone = Zone(node)
    await zone.start()
    rundir = Path("/run/virtlab")
    await _cables(wired)
    dhcp = DhcpClients.beneath(nmstate_folder(rundir))
    stay = Session(rundir / "networkmanager", dhcp)
    await asyncio.gather(zone.wire(), take_address(node, dhcp, stay))
    kube = Kube(f"https://{API_ADDRESS}:{API_PORT}", token=keys.token(layout, node.name), ca=layout.pki / "ca.crt",
                user_agent=f"virtlab-agent/{node.name}", host=node.name)  # fmt: skip
    ctx = NodeContext(
        node=node, kube=kube, informers=Informers(kube), rundir=rundir, state=layout.root,
        kernel=Path(guest[0]), initrd=Path(guest[1]),
        ovs=zone.ovs, northbound=zone.northbound, southbound=zone.southbound,
        agent_token=keys.token(layout, keys.AGENT), kubevirt=spec.virtualization,
    )  # fmt: skip
    ctx.rundir.mkdir(parents=True, exist_ok=True)
    logging.getLogger().addHandler(ComponentLogs(ctx.rundir))
    launchers, left_out = Launchers(), LeftOut()
    ovnkube = OvnKube(ctx)
    parts = {"Open vSwitch": zone.ovs_answers, "OVN": zone.ovn_answers, "the pod network": ovnkube.zone.answers}
    kubelet = Kubelet(ctx, launchers, parts, left_out)
    virt = VirtHandler(ctx, launchers)
    handler = NmstateHandler(ctx, spec.release)
    manager = NetworkManager(stay.folder, handler.node, node.machine_ip, changed=handler.refresh, reconnect=kube.close)
    components: dict[str, Component] = {
        "kubelet": kubelet, "virt-handler": virt, "nmstate": handler, "ovnkube": ovnkube, "networkmanager": manager,
    }  # fmt: skip
    left_out.listen()
    await ctx.informers.start()
    served = serve_agent([kubelet, virt], host=node.machine_ip, port=AGENT_PORT, token=ctx.agent_token)
    async with asyncio.TaskGroup() as group:
        group.create_task(served, name="server")
        for name, component in components.items():
            work = partial(left_out.minding, PODS.get(name, name), component.run)
            group.create_task(_forever(work, name), name=name)


async def _forever(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """A component that falls over is started again, as its container would be."""
    while True:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("%s fell over; starting it again", name)
        await asyncio.sleep(1.0)


async def _cables(wired: int) -> None:
    """Wait until the NICs are plugged in: there is a byte then, which is left for the agent's successors."""
    await asyncio.to_thread(select.select, [wired], [], [])


async def nodes_ready(layout: Layout, spec: LabSpec, tell: Callable[[str], None]) -> None:
    """Wait until the API says that every node is Ready, telling each as it comes."""
    waiting = {node.name for node in spec.nodes}
    async with Kube(f"https://127.0.0.1:{API_PORT}", token=keys.token(layout, keys.ADMIN), ca=layout.pki / "ca.crt",
                    user_agent="virtlab-supervisor") as kube:  # fmt: skip
        informers = Informers(kube)
        nodes = informers.get(NODE)
        changed = asyncio.Event()
        nodes.subscribe(lambda *_: changed.set())
        await informers.start()
        while waiting:
            for name in sorted(waiting):
                if _is_ready(nodes.items.get(name, {})):
                    waiting.discard(name)
                    tell(name)
            if waiting:
                await changed.wait()
                changed.clear()
        await informers.close()


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
