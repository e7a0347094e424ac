"""Where the kubelet and the guests' keeper of one agent meet: launcher pods whose sandbox stands.

The kubelet puts a launcher here once its network is done and takes the exit status of `compute` from it;
the keeper runs QEMU inside and says when it ended.  Neither knows the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True)
class Attachment:
    """One interface of a pod as the CNI left it; ``addresses`` as CIDR strings.

    ``held`` is False when the pod does not have them itself: a guest behind the interface asks the network for them.
    """

    ifname: str
    network: str
    mac: str
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    mtu: int = 1500
    default: bool = False
    held: bool = True


@dataclass
class Launcher:
    """A virt-launcher pod that runs here."""

    namespace: str
    name: str
    uid: str
    vmi_uid: str
    netns: str
    attachments: tuple[Attachment, ...]
    log: Path
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the kubelet when the pod is to end."""
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Set by the keeper: the exit status of `compute`."""

    def end(self, status: int) -> None:
        """Let the container end with ``status``; the first word counts."""
        if not self.ended.done():
            self.ended.set_result(status)

    def macs(self) -> dict[str, str]:
        """MAC by interface."""
        return {attachment.ifname: attachment.mac for attachment in self.attachments}

    def addresses(self, ifname: str) -> list[str]:
        """Plain addresses of an interface, without prefix length."""
        return [a.split("/")[0] for found in self.attachments if found.ifname == ifname for a in found.addresses]


class Launchers:
    """All launchers of this node, by pod UID."""

    def __init__(self) -> None:
        self._all: dict[str, Launcher] = {}
        self._callbacks: list[Callable[[Launcher], None]] = []

    def subscribe(self, callback: Callable[[Launcher], None]) -> None:
        """Call when a launcher comes, is asked to stop, or goes."""
        self._callbacks.append(callback)

    def add(self, launcher: Launcher) -> None:
        self._all[launcher.uid] = launcher
        self._tell(launcher)

    def stop(self, uid: str) -> None:
        """Ask the guest inside to end."""
        if uid in self._all:
            self._all[uid].stopping.set()
            self._tell(self._all[uid])

    def remove(self, uid: str) -> None:
        launcher = self._all.pop(uid, None)
        if launcher:
            self._tell(launcher)

    def find(self, vmi_uid: str, pod: str = "") -> Launcher | None:
        """The newest launcher of a VMI, or the one called ``pod``; one that ended does not count."""
        found = [
            launcher
            for launcher in self._all.values()
            if launcher.vmi_uid == vmi_uid and not launcher.ended.done() and pod in ("", launcher.name)
        ]
        return found[-1] if found else None

    def of(self, vmi_uid: str) -> list[Launcher]:
        """All launchers of a VMI here, the ended ones too."""
        return [launcher for launcher in self._all.values() if launcher.vmi_uid == vmi_uid]

    def by_name(self, namespace: str, name: str) -> Launcher | None:
        for launcher in self._all.values():
            if (launcher.namespace, launcher.name) == (namespace, name):
                return launcher
        return None

    def _tell(self, launcher: Launcher) -> None:
        for callback in self._callbacks:
            callback(launcher)
