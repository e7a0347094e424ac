"""Who answers by ARP for an address: asked beside a check, and of no harm to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from lab.access.client import Client
from lab.core.errors import ApiDown, LabError
from lab.core.result import CommandResult
from lab.topology.claimants import asked, claimants
from lab.topology.pods import Resident

HERE = Resident("resident-2024-w1", "demo", "w1", "VLAN 2024", "192.168.24.99")
TWO = """\
ARPING 192.168.24.1 from 192.168.24.99 net1
Unicast reply from 192.168.24.1 [EA:D0:F4:C8:FB:F0]  0.560ms
Unicast reply from 192.168.24.1 [4A:BF:D1:79:67:41]  0.580ms
Sent 1 probes (1 broadcast(s))
Received 2 response(s)
"""


class Pods:
    """A cluster whose pods print *said*, or cannot be reached."""

    def __init__(self, said: str = "", code: int = 0, error: LabError | None = None) -> None:
        self.said, self.code, self.error = said, code, error
        self.asked: list[Any] = []

    def exec(self, pod: str, namespace: str, container: str, argv: Sequence[str], *, deadline: object) -> CommandResult:
        self.asked.append((pod, list(argv)))
        if self.error:
            raise self.error
        return CommandResult(tuple(argv), pod, self.code, self.said, "", 1.0)


def macs(pods: Pods, resident: Resident | None = HERE) -> tuple[str, ...]:
    return claimants(cast(Client, pods), resident, "192.168.24.1")


def test_all_that_answer_one_request_are_heard() -> None:
    pods = Pods(TWO)
    with asked(cast(Client, pods), HERE, "192.168.24.1") as found:
        pass
    assert found.result() == ("ea:d0:f4:c8:fb:f0", "4a:bf:d1:79:67:41")
    assert pods.asked == [("resident-2024-w1", ["arping", "-c", "1", "-I", "net1", "192.168.24.1"])]


@pytest.mark.parametrize(
    "pods",
    [
        Pods("arping: socket: Operation not permitted", 1),
        Pods("", 127),
        Pods(error=ApiDown("an answer of the API server", "refused")),
    ],
    ids=["no right", "no arping", "no API"],
)
def test_where_nobody_can_ask_nobody_is_heard_and_nothing_raised(pods: Pods) -> None:
    assert macs(pods) == ()


def test_without_a_resident_on_that_worker_nobody_asks() -> None:
    pods = Pods(TWO)
    assert macs(pods, None) == ()
    assert pods.asked == []
