"""Large packets that are lost: blamed on workers whose residents lose them too, and on nobody when all are alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.errors import ApiDown
from lab.core.result import CommandResult
from lab.diagnosis.bigframes import explain
from lab.target.segments import Segment
from lab.topology.pods import Resident
from lab.topology.site import Site

VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), "", 2024)


class Pods:
    """Residents whose pings above a size get no answer; ``gone`` cannot be asked."""

    def __init__(self, narrow: dict[str, int], gone: tuple[str, ...] = ()) -> None:
        self.narrow, self.gone = narrow, gone

    def exec(self, pod: str, namespace: str, container: str, argv: Any, *, deadline: object) -> CommandResult:
        node = pod.rpartition("-")[2]
        if node in self.gone:
            raise ApiDown("an answer of the API server", "refused")
        size, count = int(argv[argv.index("-s") + 1]) + 28, int(argv[argv.index("-c") + 1])
        got = count if size <= self.narrow.get(node, 1500) else 0
        loss = 100 - 100 * got // count
        text = f"{count} packets transmitted, {got} packets received, {loss}% packet loss\n"
        return CommandResult(tuple(argv), pod, 0 if got else 1, text, "", 0.4)


def found(pods: Pods) -> str:
    residents = [Resident(f"r-{node}", "demo", node, VLAN.name, "192.168.24.99") for node in ("w1", "w2", "w3")]
    site = SimpleNamespace(client=pods, residents=SimpleNamespace(of={VLAN.name: residents}, networks={}))
    return explain(cast(Site, site), VLAN, 1500)


def test_the_worker_whose_resident_loses_large_packets_is_named_with_the_switch() -> None:
    said = found(Pods({"w1": 1400}))
    assert said == (
        "packets of 1500 bytes between w1 and the gateway 192.168.24.1 on VLAN 2024 are lost, those of w2, w3 are "
        "answered: what is between w1 and the switch passes only smaller ones"
    )
    assert (getattr(said, "node", ""), getattr(said, "part", "")) == ("w1", "cable")


@pytest.mark.parametrize(
    "pods",
    [Pods({}), Pods({"w1": 1400, "w2": 1400, "w3": 1400}), Pods({}, ("w1",))],
    ids=["all pass", "none passes", "not asked"],
)
def test_where_all_are_alike_or_cannot_be_asked_nobody_is_blamed(pods: Pods) -> None:
    assert found(pods) == ""
