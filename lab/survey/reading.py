"""One read-only look at a cluster of which nothing is known yet: nodes, links, platform, what is installed and used.

Rights may be few: what may not be read is listed, and the rest is read all the same. Nothing here changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab.access.client import Client
from lab.access.errors import ApiError
from lab.access.kinds import NAD, NNS, NODE, VM, VMI, Kind, Obj
from lab.core.errors import OperatorMissing
from lab.target.inventory import LABELS, WORKERS, Component, Platform
from lab.target.platform import settled_platform

T = TypeVar("T")
ANY_NODE = "kubernetes.io/os=linux"
CONTROL = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True)
class Survey:
    """`workers` by `selector`; `states` is the currentState of NodeNetworkState by worker; `images` counts the
    containerDisks in use; `unread` says what could not be read, and why."""

    server: str
    version: str
    platform: Platform
    selector: str
    workers: tuple[Obj, ...]
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attachments: tuple[Obj, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(node["metadata"]["name"]) for node in self.workers)


class _Look:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.unread: list[str] = []

    def ask(self, what: str, look: Callable[[], T], default: T) -> T:
        try:
            return look()
        except (ApiError, OperatorMissing) as error:
            self.unread.append(f"{what}: {error.found.splitlines()[0]}")
            return default

    def all_of(self, kind: Kind) -> list[Obj]:
        return self.ask(f"list of {kind}", lambda: self._client.list(kind), [])


def survey(client: Client) -> Survey:
    """Raises ApiDown, and Unauthorized or Forbidden where not even the nodes may be read."""
    version = client.version()
    selector, workers = _workers(client.list(NODE))
    look = _Look(client)
    unknown = Platform("", *(Component("", labels) for labels in LABELS.values()))
    names = {str(node["metadata"]["name"]) for node in workers}
    states = {str(s["metadata"]["name"]): (s.get("status") or {}).get("currentState") or {} for s in look.all_of(NNS)}
    attachments = look.all_of(NAD)
    images = _images([*look.all_of(VM), *look.all_of(VMI)])
    platform = look.ask("pods of the platform", lambda: settled_platform(client, unknown), unknown)
    return Survey(
        client.server, version, platform, selector, tuple(workers),
        {name: state for name, state in states.items() if name in names},
        tuple(attachments), images, tuple(look.unread),
    )  # fmt: skip


def _workers(nodes: list[Obj]) -> tuple[str, list[Obj]]:
    """By the role's label; where nobody has it, every node that is no control plane."""
    key = WORKERS.partition("=")[0]
    labelled = [node for node in nodes if key in _labels(node)]
    if labelled:
        return WORKERS, labelled
    return ANY_NODE, [node for node in nodes if not any(role in _labels(node) for role in CONTROL)] or nodes


def _labels(node: Obj) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}


def _images(machines: list[Obj]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for machine in machines:
        template = ((machine.get("spec") or {}).get("template") or {}).get("spec") or machine.get("spec") or {}
        for volume in template.get("volumes") or []:
            if image := (volume.get("containerDisk") or {}).get("image"):
                found[str(image)] += 1
    return dict(found.most_common())
