"""A check that is not silent and still wrong: doubled and late answers, a VM that ended under it. Each seen red."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.access.errors import NotFound
from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import expect
from lab.diagnosis.cause import Said
from lab.probes.observation import Outcome
from lab.probes.ping import PingObservation, PingStatistics, Reply
from lab.target.segments import Segment
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), "", 2024)


class Client:
    """A cluster with one VMI, or none."""

    server = "https://lab"

    def __init__(self, uid: str = "", phase: str = "Running") -> None:
        self.uid, self.phase = uid, phase

    def get(self, kind: Any, name: str, namespace: str) -> dict[str, Any]:
        if not self.uid:
            raise NotFound("the VMI", self.server, status=404)
        meta = {"name": name, "namespace": namespace, "uid": self.uid}
        return {"metadata": meta, "status": {"phase": self.phase, "nodeName": "worker-3"}}


def site(client: Client) -> Site:
    found = SimpleNamespace(
        client=client,
        target=SimpleNamespace(thresholds=SimpleNamespace(ping_loss_percent=0), outside={}),
        residents=SimpleNamespace(networks={}),
    )
    return cast(Site, found)


def check(outcome: Outcome, statistics: PingStatistics | None = None, macs: tuple[str, ...] = ()) -> Check:
    seen = PingObservation("ping", "vm-a", "192.168.24.1", outcome, "as seen", None, statistics)
    vm = GuestVm("vm-a", "demo", VLAN, "02:00:00:20:24:10", ("192.168.24.20",), ["worker-2"], uid="one")
    return Check(vm, "gateway 192.168.24.1", VLAN, ("worker-2",), seen, macs)


def answers(sent: int, rtts: list[float], duplicates: int = 0) -> PingStatistics:
    replies = tuple(Reply(n, ms) for n, ms in enumerate(rtts))
    return PingStatistics(sent, len(rtts), replies, (), duplicates)


def test_answers_that_arrive_twice_are_a_failure_though_none_is_lost() -> None:
    with pytest.raises(ProductFailure) as failed:
        expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0] * 5, 5)))
    assert failed.value.found == (
        "VM vm-a on worker-2: more than one answer from gateway 192.168.24.1 on VLAN 2024 (5 sent, 5 received); "
        "answers arrive twice: something on VLAN 2024 sends a copy back into it"
    )


def test_answers_of_an_address_that_two_hosts_have_are_a_failure_though_all_came() -> None:
    one, other = "02:00:00:00:00:01", "02:00:00:00:00:02"
    with pytest.raises(ProductFailure) as failed:
        expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0] * 5), (one, other)))
    assert failed.value.found == (
        "VM vm-a on worker-2: an answer, by chance, from gateway 192.168.24.1 on VLAN 2024 (5 sent, 5 received); "
        f"two hosts on VLAN 2024 have the address 192.168.24.1: ARP is answered by {one} and by {other}"
    )
    assert failed.value.advice.startswith("the switch: ")
    expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0] * 5), (one,)))
    expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0] * 5), ()))


def test_answers_that_are_late_for_everybody_come_from_no_gateway_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    down = Said("no resident has an answer either: the gateway is down or cut off", part="gateway")
    own = Said("the resident pod on worker-2 has an answer: the fault is in the VM or its port", "worker-2", "vm")
    late = check(Outcome.REACHED, answers(5, [2.0, 900.4]))
    for found, said in ((down, "sends on VLAN 2024 waits in a queue"), (own, "the fault is in the VM or its port")):
        monkeypatch.setattr(expect, "explain", lambda *_, found=found: found)
        with pytest.raises(ProductFailure, match=said):
            expect.reached(site(Client("one")), late)


def test_one_answer_that_arrives_twice_is_none() -> None:
    expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0] * 5, 1)))


def test_lost_answers_of_which_others_were_late_are_told_as_late() -> None:
    with pytest.raises(ProductFailure) as failed:
        expect.reached(site(Client("one")), check(Outcome.REACHED, answers(5, [2.0, 900.4])))
    assert "answers are lost from gateway 192.168.24.1 on VLAN 2024 (5 sent, 2 received, the latest 900 ms late)" in (
        failed.value.found
    )


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (Client("two"), "VM vm-a ended on worker-2 during the check: another one is Running on worker-3"),
        (Client("one", "Failed"), "VM vm-a ended on worker-2 during the check: it is Failed on worker-3"),
        (Client(), "VM vm-a ended on worker-2 during the check: it is no more"),
    ],
)
def test_a_vm_that_ended_under_its_check_is_a_failure_and_no_riddle(client: Client, words: str) -> None:
    with pytest.raises(ProductFailure) as failed:
        expect.reached(site(client), check(Outcome.INCONCLUSIVE))
    assert failed.value.found == words


def test_a_check_without_an_answer_of_a_vm_that_lives_stays_inconclusive() -> None:
    with pytest.raises(Inconclusive):
        expect.reached(site(Client("one")), check(Outcome.INCONCLUSIVE))
