"""Judging workers as hosts: red names the worker, what was wanted and what was seen; silence is no verdict."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import workers as judge
from lab.probes.observation import Observation, Outcome
from lab.probes.ping import PingObservation, PingStatistics
from lab.target.inventory import Segment
from lab.topology.hosts import Noted, WorkerHosts, carriers

MACHINE = Segment("network machine", "192.168.52.254", "192.168.52.0/24", ("192.168.52.20", "192.168.52.99"))


class Hosts:
    """What was seen of two workers, as a test tells it."""

    def __init__(self, **seen: Any) -> None:
        self.seen = seen
        self.site = SimpleNamespace(workers=("w1", "w2"))
        self.noted = Noted(ready={"w1": "t1", "w2": "t1"})

    def ping(self, address: str) -> dict[str, PingObservation]:
        found: dict[str, PingObservation] = self.seen["ping"]
        return found

    def api_servers(self) -> list[tuple[str, int]]:
        return [("192.168.52.1", 6443)]

    def connect(self, address: str, port: int) -> dict[str, Observation]:
        found: dict[str, Observation] = self.seen["connect"]
        return found

    def ready_since(self) -> dict[str, str]:
        found: dict[str, str] = self.seen["ready"]
        return found


def hosts(**seen: Any) -> WorkerHosts:
    return cast(WorkerHosts, Hosts(**seen))


def pinged(node: str, received: int | None) -> PingObservation:
    if received is None:
        return PingObservation("ping", node, "g", Outcome.INCONCLUSIVE, "no summary", None)
    outcome = Outcome.REACHED if received else Outcome.NOT_REACHED
    statistics = PingStatistics(5, received, (), (), 0)
    return PingObservation("ping", node, "g", outcome, f"{received} of 5 answered", None, statistics)


def connected(node: str, outcome: Outcome) -> Observation:
    return Observation("tcp", node, "192.168.52.1:6443", outcome, "timed out", None)


def test_a_worker_without_an_answer_is_named_with_what_was_sent() -> None:
    judge.reach_gateway(hosts(ping={"w1": pinged("w1", 5), "w2": pinged("w2", 5)}), MACHINE)
    with pytest.raises(ProductFailure) as raised:
        judge.reach_gateway(hosts(ping={"w1": pinged("w1", 5), "w2": pinged("w2", 0)}), MACHINE)
    assert "w2: 0 of 5 answered (5 sent, 0 received)" in str(raised.value)
    assert "w1" not in str(raised.value)
    assert "every worker to reach 192.168.52.254" in str(raised.value)


def test_a_ping_that_proves_nothing_is_no_verdict() -> None:
    with pytest.raises(Inconclusive):
        judge.reach_gateway(hosts(ping={"w1": pinged("w1", 5), "w2": pinged("w2", None)}), MACHINE)


def test_a_worker_that_cannot_reach_an_api_server_is_named_with_it() -> None:
    good = {"w1": connected("w1", Outcome.REACHED)}
    judge.reach_api(hosts(connect=good))
    with pytest.raises(ProductFailure, match=r"w2: timed out from 192\.168\.52\.1:6443"):
        judge.reach_api(hosts(connect=good | {"w2": connected("w2", Outcome.NOT_REACHED)}))
    with pytest.raises(Inconclusive):
        judge.reach_api(hosts(connect=good | {"w2": connected("w2", Outcome.INCONCLUSIVE)}))


def test_a_worker_that_was_not_ready_in_between_is_named() -> None:
    judge.stayed_ready(hosts(ready={"w1": "t1", "w2": "t1"}))
    with pytest.raises(ProductFailure, match="w2 is Ready since t2, and was since t1"):
        judge.stayed_ready(hosts(ready={"w1": "t1", "w2": "t2"}))
    with pytest.raises(ProductFailure, match="w1 is not Ready"):
        judge.stayed_ready(hosts(ready={"w1": "", "w2": "t1"}))
    unnoted = hosts(ready={"w1": "t1"})
    unnoted.noted = Noted()
    with pytest.raises(ProductFailure, match="none was noted before"):
        judge.stayed_ready(unnoted)


def test_a_worker_that_is_not_ready_is_named() -> None:
    judge.ready(hosts(ready={"w1": "t1", "w2": "t2"}))
    with pytest.raises(ProductFailure, match="w2 is not"):
        judge.ready(hosts(ready={"w1": "t1", "w2": ""}))


def test_which_links_carry_an_address() -> None:
    listed = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
        "5: ens3@if5    inet 192.168.52.11/24 brd 192.168.52.255 scope global dynamic ens3\\  valid_lft 3571sec\n"
        "9: br1    inet 192.168.52.111/24 scope global br1\n"
    )
    assert carriers(listed, "192.168.52.11") == ("ens3",)
    assert carriers(listed, "192.168.52.1") == ()
    assert carriers("", "192.168.52.11") == ()
