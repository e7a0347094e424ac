"""What every component of a node agent is given.

A component acts on its own node only, and learns everything else from the Kubernetes API.  This room
must not act itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from lab.embedded.host.ovs import Northbound, Ovs, Southbound
from lab.embedded.kube import Informers, Kube
from lab.embedded.model.releases import DEFAULT_KUBEVIRT, KubevirtRelease
from lab.embedded.model.spec import NodeSpec


@dataclass(frozen=True)
class NodeContext:
    """One node: who it is, how it reaches the API, and its own parts."""

    node: NodeSpec
    kube: Kube
    informers: Informers
    rundir: Path
    """Private to the node: in its own mount namespace, gone with it."""
    state: Path
    """The lab's state folder on the host, shared by all nodes: logs and consoles."""
    kernel: Path
    initrd: Path
    ovs: Ovs
    northbound: Northbound
    southbound: Southbound
    agent_token: str
    kubevirt: KubevirtRelease = DEFAULT_KUBEVIRT


class Component(Protocol):
    """A part of the agent; it runs until it is cancelled."""

    async def run(self) -> None: ...


class Served(Protocol):
    """A component that also answers HTTP requests of the API server."""

    def routes(self) -> Sequence[web.RouteDef]: ...
