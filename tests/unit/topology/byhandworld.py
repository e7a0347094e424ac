"""A worker with NetworkManager, played by small fakes with the tools' own words, and another one that pings it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lab.access.kinds import LEASE, NODE, Kind, Obj
from lab.core.deadline import Deadline
from lab.core.errors import WaitTimeout
from lab.core.result import CommandResult
from lab.core.undo import UndoStack
from lab.core.wait import Seen
from lab.netmanager import documented
from lab.netmanager.debugpod import NodeShell
from lab.topology.byhand import HandMadeBridge
from lab.topology.site import Site

TEXT = documented.read(Path(__file__).parents[3] / "features/nmcli/documented")
ADDRESS = "192.168.52.11"
UUID = "3f2976d3-e661-39b2-a287-8d47f01f5899"
BEFORE = f"Wired connection 1:{UUID}:802-3-ethernet:ens3\n"
OVER_BRIDGE = f"br1:{UUID}:bridge:br1\nbridge-slave-ens3:{UUID}:802-3-ethernet:ens3\n"
OVER_BRIDGE += f"Wired connection 1:{UUID}:802-3-ethernet:\n"
PORT = """\
5: ens3@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 02:00:00:a8:34:0b brd ff:ff:ff:ff:ff:ff
    inet 192.168.52.11/24 brd 192.168.52.255 scope global dynamic ens3
       valid_lft 3600sec preferred_lft 3600sec
"""


class Worker:
    """``profiles`` and ``port`` are what is told; ``states`` those of the switch-over, the last for ever."""

    place = "node worker-1 (debug pod)"
    node = "worker-1"

    def __init__(self) -> None:
        self.profiles, self.port = BEFORE, PORT
        self.states = ["switching"]
        self.log = "100 switching\n"
        self.files: dict[str, str] = {}
        self.ran: list[str] = []
        self.answers, self.missing, self.beats = True, False, True
        self.started = self.starts_over_bridge = False

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        words = list(argv)
        self.ran.append(" ".join(words[:4]))
        match words:
            case ["nmcli", *_] if self.missing:
                return self._said(words, 127, "", "chroot: can't execute 'nmcli': No such file or directory\n")
            case ["nmcli", "-t", "-f", "NAME,UUID,TYPE,DEVICE", "con", "show"]:
                over = self.started and self.starts_over_bridge
                return self._said(words, 0, OVER_BRIDGE if over else self.profiles)
            case ["ip", "a", "show", "dev", "ens3"]:
                return self._said(words, 0, self.port)
            case ["cat", path]:
                told = self.log if path.endswith("/log") else self._state()
                return self._said(words, 0, told)
            case ["sh", "-c", script, *_] if "setsid" in script:
                self.started = True
            case ["sh", "-c", script, *_] if "keep" in script and self.states == ["switching"]:
                self.states = ["kept"]
        return self._said(words, 0, "")

    def revive(self, deadline: Deadline) -> None:
        return

    def _state(self) -> str:
        return f"{self.states.pop(0) if len(self.states) > 1 else self.states[0]}\n"

    def _said(self, argv: Sequence[str], code: int, out: str, err: str = "") -> CommandResult:
        return CommandResult(tuple(argv), self.place, code, out, err, 0.0)


class Peer:
    """Another worker's ping."""

    place = "node worker-2 (debug pod)"
    node = "worker-2"

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        count = int(argv[argv.index("-c") + 1])
        got = count if self.worker.answers else 0
        text = "".join(f"64 bytes from {ADDRESS}: icmp_seq={n} ttl=64 time=0.3 ms\n" for n in range(1, got + 1))
        text += f"\n{count} packets transmitted, {got} received, {100 - 100 * got // count}% packet loss, time 9ms\n"
        return CommandResult(tuple(argv), self.place, 0 if got else 1, text, "", 0.0)


class Client:
    """The Node, and its heartbeat."""

    server = "https://127.0.0.1:1"

    def __init__(self, worker: Worker) -> None:
        self.worker, self.beat = worker, 0
        self.addresses = [{"type": "InternalIP", "address": ADDRESS}]
        self.ready = {"type": "Ready", "status": "True"}

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        assert name == "worker-1"
        if kind == NODE:
            return {"status": {"addresses": self.addresses, "conditions": [self.ready]}}
        assert (kind, namespace) == (LEASE, "kube-node-lease")
        return {"spec": {"renewTime": f"t{self.beat}"}}

    def wait_for(
        self, kind: Kind, name: str, namespace: str, wanted: str, check: Callable[[Obj], Seen[None]], **_: Deadline
    ) -> None:
        self.beat += self.worker.beats
        seen = check(self.get(kind, name, namespace))
        if not seen.met:
            raise WaitTimeout(f"Lease {name}", wanted, last=seen.text, elapsed=1.0)


class World:
    def __init__(self) -> None:
        self.worker = Worker()
        self.peer = Peer(self.worker)
        self.client = Client(self.worker)
        self.undo = UndoStack()
        self.settled = 0
        thresholds = SimpleNamespace(ping_count=3, ping_loss_percent=0)
        self.site = cast(
            Site,
            SimpleNamespace(
                client=self.client,
                undo=self.undo,
                settle=self._settle,
                change_nodes=lambda: None,
                target=SimpleNamespace(thresholds=thresholds),
            ),
        )

    def _settle(self) -> None:
        self.settled += 1

    def bridge(self) -> HandMadeBridge:
        return HandMadeBridge(self.site, TEXT, cast(NodeShell, self.worker), cast(NodeShell, self.peer), "ens3")

    def made(self, patience_s: int = 1, **options: Any) -> HandMadeBridge:
        bridge = self.bridge()
        bridge.make(patience_s, **options)
        return bridge
