"""Two workers with a bond each, as the harness' client sees them: pods that answer commands with what programs print.

``carries`` says which NIC takes a worker's packets; ``lossy`` which workers lose flows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.access.kinds import NODE, POD
from lab.core.result import CommandResult
from lab.ovn.bonds import ARGV, MARK
from lab.probes.flows import BYTES
from lab.target.inventory import load
from lab.topology.bondpath import BondPath
from lab.topology.pods import Resident
from lab.topology.site import Site

TARGET = load(Path(__file__).parents[3] / "targets" / "embedded.yaml")
NICS = ("enp6s0f0", "enp6s0f1")
PARTNER = "ae:e9:87:39:5c:4b"
PING = "{n} packets transmitted, {got} received, 0% packet loss, time 1ms\n"


class Nic:
    def __init__(self) -> None:
        self.link, self.partner, self.packets = True, PARTNER, 0


class Watched:
    """A watch that has seen everything already."""

    def __init__(self, items: dict[str, Any]) -> None:
        self.items = items

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, _: float) -> None:
        return None


class World:
    """The client of it, and the site on it."""

    server = "https://fake"

    def __init__(self, folder: Path, workers: Sequence[str] = ("w1", "w2")) -> None:
        self.nics = {worker: {nic: Nic() for nic in NICS} for worker in workers}
        self.carries = {worker: list(NICS) for worker in workers}
        self.lossy: set[str] = set()
        self.silent: set[str] = set()
        self.lacp = True
        self.exchanges = 0
        self.site = Site(self, TARGET, "r1", workers, folder)  # type: ignore[arg-type]
        vlan = TARGET.vlan(2024)
        for group, twin in ((self.site.residents.of, ""), (self.site.residents.twins, "-2")):
            group[vlan.name] = [
                Resident(f"resident-{w}{twin}", "ns", w, vlan.name, f"192.168.24.{i}") for i, w in enumerate(workers)
            ]
        self.path = BondPath(self.site, "bond1", vlan, None)  # type: ignore[arg-type]

    def serves(self, _: Any) -> bool:
        return False

    def list(self, kind: Any, *_: object, **__: object) -> list[dict[str, Any]]:
        running = {"status": {"phase": "Running"}}
        if kind is POD:
            return [{"metadata": {"name": f"ovn-{w}"}, "spec": {"nodeName": w}, **running} for w in self.nics]
        assert kind is NODE
        return []

    def watch(self, kind: Any, *_: object, **__: object) -> Watched:
        residents = [*self.site.residents.of.values(), *self.site.residents.twins.values()]
        pods = {r.pod: {"metadata": {"name": r.pod}, "status": {"phase": "Running"}} for g in residents for r in g}
        return Watched(pods if kind is POD else {})

    def exec(self, pod: str, _: str, container: str, argv: Sequence[str], *, deadline: Any) -> CommandResult:
        node = next(worker for worker in self.nics if worker in pod)
        if tuple(argv) == ARGV:
            return self._said(argv, self._links(node))
        if "nc -w" in argv[2]:
            return self._said(argv, self._flows(node, int(argv[4])))
        if "ping -V" in argv[2]:
            return self._said(argv, "ping iputils\nend\n")
        if argv[0] != "ping":
            # A continuous ping: it runs and has no answer; then it is stopped.
            return self._said(argv, "late /tmp/x\n" if "mktemp" in argv[2] else "as is\n")
        count = int(argv[argv.index("-c") + 1])
        replies = "" if node in self.silent else "64 bytes from x: icmp_seq=1 ttl=64 time=1.0 ms\n" * count
        return self._said(argv, replies + PING.format(n=count, got=0 if node in self.silent else count))

    @staticmethod
    def _said(argv: Sequence[str], text: str) -> CommandResult:
        return CommandResult(tuple(argv), "pod", 0, text, "", 0.1)

    def _flows(self, node: str, count: int) -> str:
        self.exchanges += 1
        chosen = self.carries[node]
        for nic in chosen:
            self.nics[node][nic].packets += 100 // len(chosen)
        lost = node in self.lossy
        return f"{BYTES}\n" * (count - lost) + "0\n" * lost

    def _links(self, node: str) -> str:
        nics = self.nics[node]
        rows = [
            {
                "ifname": name,
                "flags": ["UP", *["LOWER_UP"] * nic.link],
                "stats64": {"rx": {"packets": nic.packets}, "tx": {"packets": nic.packets}},
            }
            for name, nic in nics.items()
        ]
        status = "negotiated" if self.lacp else "off"
        shown = f"---- bond1 ----\nbond_mode: x\nlacp_status: {status}\n\n"
        agreed = "---- bond1 ----\n  status: active negotiated\n\n"
        for name, nic in nics.items():
            works = nic.link and bool(nic.partner)
            shown += f"member {name}: {'enabled' if works else 'disabled'}\n  may_enable: {str(works).lower()}\n\n"
            agreed += f"member: {name}: {'current attached' if works else 'defaulted detached'}\n"
            agreed += (
                f"  may_enable: {str(works).lower()}\n\n  partner sys_id: {nic.partner or '00:00:00:00:00:00'}\n\n"
            )
        return f"{json.dumps(rows)}\n{MARK}\n{shown}{MARK}\n{agreed}"
