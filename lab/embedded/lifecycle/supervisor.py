"""The inside of a lab: the process that becomes PID 1 of its namespaces, and what it starts.

Everything is imported before the first fork, so that nodes, API server and controllers cost
milliseconds and share memory.  When this PID 1 ends, for whatever reason, the kernel ends every process
and takes every link and address with it: there is no clean-up code that could fail to run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lab.embedded.fabric import gateways
from lab.embedded.fabric.switch import Switch
from lab.embedded.host.command import run
from lab.embedded.host.namespaces import enter_node, fork, private_run, reap_until
from lab.embedded.lifecycle import programs
from lab.embedded.lifecycle.layout import Layout
from lab.embedded.model.spec import API_PORT, MACHINE_HOST, LabSpec, NodeSpec
from lab.embedded.node import ownfiles


@dataclass(frozen=True)
class Orders:
    """What `up` hands to the supervisor: the plan, inherited descriptors, where the guest image is."""

    spec: LabSpec
    listener: int
    progress: int
    kernel: str
    initrd: str
    options: dict[str, Any]


@dataclass
class Child:
    """A node's keeper: the PID of the init inside, and the pipe that tells it that its NICs are in."""

    node: NodeSpec
    init: int
    wired: int

    @property
    def netns(self) -> str:
        return f"/proc/{self.init}/ns/net"


def main(orders: Orders, layout: Layout) -> None:
    """Be PID 1: prepare the namespaces, fork the parts, reap until the supervisor ends."""
    private_run()
    _loopback()
    gc.collect()
    gc.freeze()
    inside = socket.create_server(("", API_PORT), backlog=128)
    outside = socket.socket(fileno=orders.listener)
    nodes = [_fork_node(node, orders, layout) for node in orders.spec.nodes]
    _fork_program(layout, "apiserver", lambda: programs.apiserver(layout, orders.spec, [outside, inside]))
    _fork_program(layout, "controllers", lambda: programs.controllers(layout, orders.spec))
    inside.close()
    outside.close()
    reap_until(_fork_program(layout, "supervisor", lambda: _supervise(orders, layout, nodes)))


def _loopback() -> None:
    asyncio.run(run(["ip", "link", "set", "lo", "up"]))


def _log_to(layout: Layout, name: str) -> None:
    fd = os.open(layout.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _fork_program(layout: Layout, name: str, program: Callable[[], Coroutine[Any, Any, None]]) -> int:
    def body() -> None:
        _log_to(layout, name)
        programs.configure_logging()
        asyncio.run(program())

    return fork(body)


def _fork_node(node: NodeSpec, orders: Orders, layout: Layout) -> Child:
    ready_r, ready_w = os.pipe()
    wired_r, wired_w = os.pipe()

    def agent() -> None:
        programs.configure_logging()
        asyncio.run(programs.agent(node, layout, orders.spec, (orders.kernel, orders.initrd), wired_r))

    def keeper() -> None:
        _log_to(layout, node.name)
        os.close(ready_r)
        os.close(wired_w)
        enter_node(node.name, ready_w, lambda: ownfiles.prepare([layout.root]), agent)

    fork(keeper)
    os.close(ready_w)
    os.close(wired_r)
    with os.fdopen(ready_r) as pipe:
        return Child(node, int(pipe.readline()), wired_w)


async def _supervise(orders: Orders, layout: Layout, nodes: list[Child]) -> None:
    began = time.monotonic()

    def tell(step: str, **more: Any) -> None:
        line = json.dumps({"step": step, "seconds": round(time.monotonic() - began, 2), **more})
        os.write(orders.progress, f"{line}\n".encode())

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    switch = Switch()
    outside = gateways.hosts(orders.spec)
    layout.nodes.write_text(json.dumps({child.node.name: child.init for child in nodes}))
    try:
        await switch.start()
        tell("switch")
        # A node that asks before its DHCP server is there waits a second for the next try.
        serving = asyncio.create_task(gateways.start(switch, outside[MACHINE_HOST]))
        cables = (_plug(switch, child, serving) for child in nodes)
        await asyncio.gather(serving, gateways.start_all(switch, outside), *cables)
        tell("cables")
        await programs.nodes_ready(layout, orders.spec, lambda name: tell("node", node=name))
        tell("ready")
    except Exception as error:
        tell("failed", error=str(error))
        raise
    os.close(orders.progress)
    await stop.wait()


async def _plug(switch: Switch, child: Child, serving: Awaitable[None]) -> None:
    await asyncio.gather(switch.plug_node(child.node, child.netns), serving)
    os.write(child.wired, b"!")


def entry(argv: list[str]) -> None:
    """``python -m lab.embedded _supervise JSON``: used by `up` inside the fresh namespaces."""
    given = json.loads(argv[0])
    spec = LabSpec(**{key: given[key] for key in ("name", "workers", "nmstate", "kubevirt", "pod_security")})
    orders = Orders(spec, given["listener"], given["progress"], given["kernel"], given["initrd"], given["options"])
    if os.getpid() != 1:
        raise SystemExit("the supervisor must be PID 1 of the lab's namespaces; start it with `virtlab up`")
    sys.stdin.close()
    main(orders, Layout(spec.name))
