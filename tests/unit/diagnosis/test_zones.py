"""Verdicts on a VM on the pod network: red first, each message with what was seen and what would help."""

from __future__ import annotations

from typing import Any

import pytest

from lab.core.errors import ProductFailure
from lab.diagnosis import zones
from lab.diagnosis.cause import Said
from lab.diagnosis.routes import WrongRoutes
from lab.diagnosis.stations import Station, Walk
from lab.kubevirt.interfaces import GuestInterface, VmiState
from lab.ovn.findings import Finding
from lab.probes.connections import ConnectionsObservation
from lab.probes.observation import Outcome
from lab.topology.podnet import POD_NETWORK
from lab.topology.scene import GuestVm


def guest() -> GuestVm:
    return GuestVm("vm-p", "demo", POD_NETWORK, "0a:58:0a:80:00:04", ("10.128.0.4",), ["worker-1", "worker-3"])


def looked(alive: int, dead: int = 0, first: int = 20_000) -> ConnectionsObservation:
    ports = range(first, first + alive + dead)
    outcome = Outcome.NOT_REACHED if dead else Outcome.REACHED
    return ConnectionsObservation(
        "connections", "the resident pod", "10.128.0.4:22", outcome, "seen", None,
        alive=tuple(ports[:alive]), dead=tuple(ports[alive:]),
    )  # fmt: skip


def test_a_vm_that_does_not_answer_every_flow() -> None:
    seen = {"worker-1": looked(14, 2), "worker-2": looked(16)}
    cause = "CRITICAL ECMP_LOCAL_REMOTE 10.128.0.4 in worker-3"
    failure = zones.unanswered(guest(), seen, cause, "kubectl exec ... lr-route-del")
    assert str(failure).splitlines() == [
        "wanted: VM vm-p on worker-3 (10.128.0.4) to answer every connection from every zone",
        f"found: it answered 14 of 16 from worker-1, 16 of 16 from worker-2; {cause}",
        "dead from worker-1: source port 20014, 20015",
        "where: 10.128.0.4:22",
        "try: kubectl exec ... lr-route-del",
    ]


def finding(zone: str) -> Finding:
    return Finding("ECMP_SUBNET", "CRITICAL", "10.128.2.0/23", [zone], "several next hops", remedies=["lr-route-del"])


def test_wrong_routes_are_the_cause_only_in_zones_that_the_packets_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise WrongRoutes("every zone to route", [finding("worker-1")])

    monkeypatch.setattr(zones, "routed", wrong)
    site: Any = None
    assert zones._explained(site, guest(), {"worker-1", "worker-3"}, lambda: "lost at the tap") == (
        "CRITICAL ECMP_SUBNET 10.128.2.0/23 in worker-1\n  several next hops",
        "lr-route-del",
    )
    said, advice = zones._explained(site, guest(), {"worker-3"}, lambda: "lost at the tap")
    assert said == (
        "lost at the tap; they do not pass a zone whose routes are wrong "
        "(CRITICAL ECMP_SUBNET 10.128.2.0/23 in worker-1)"
    )
    assert advice == ""


def state(*addresses: str) -> VmiState:
    return VmiState("vm-p", "demo", "u", "Running", "worker-3", (GuestInterface("default", addresses=addresses),))


def test_an_address_that_was_not_kept() -> None:
    zones.kept(guest(), state("10.128.0.4", "fe80::1"), 2)
    with pytest.raises(ProductFailure, match=r"vm-p reported with its pod address 10\.128\.0\.4\nfound: 10\.128\.4\.9"):
        zones.kept(guest(), state("10.128.4.9"), 2)
    with pytest.raises(ProductFailure, match=r"its pod address 10\.128\.0\.4\nfound: none"):
        zones.kept(guest(), state(), 2)
    with pytest.raises(ProductFailure, match="vm-p on 3 workers in turn\nfound: worker-1 -> worker-3"):
        zones.kept(guest(), state("10.128.0.4"), 3)


def test_a_vm_that_can_be_migrated_though_it_should_not() -> None:
    zones.immovable(guest(), (False, "LiveMigratable is False: X: it does not use masquerade"), "does not use")
    with pytest.raises(ProductFailure, match="not migratable, since it does not use\nfound: LiveMigratable is True"):
        zones.immovable(guest(), (True, "LiveMigratable is True: None: None"), "does not use")
    with pytest.raises(ProductFailure, match="found: LiveMigratable is False: Disks"):
        zones.immovable(guest(), (False, "LiveMigratable is False: Disks: not shared"), "does not use")


def test_a_migration_that_is_taken_though_it_should_be_refused() -> None:
    zones.refused(guest(), "denied the request: it does not use masquerade", "does not use")
    with pytest.raises(ProductFailure, match="a migration of vm-p refused, since it does not use\nfound: it was taken"):
        zones.refused(guest(), "", "does not use")


def test_the_place_nearest_to_the_guest_is_blamed_and_its_route_last() -> None:
    route = Said("the default route leads to 169.254.1.1, where nobody answers ARP", "worker-3", "vm")
    unbound = Said("worker-3: the logical port is bound nowhere", "worker-3", "ovn")
    tap = Station("tap tap0", "worker-3", "tap", 0)
    lost = Walk("VM vm-p", "a pod", (tap,), lost=0, found=Said("lost at the tap", "worker-3", "tap"))
    passed = Walk("VM vm-p", "a pod", (tap,))
    assert zones.nearest(unbound, [passed], lambda: route) == unbound, "its gateway is silent because of it"
    assert zones.nearest("every zone has what it needs", [lost], lambda: route) == "lost at the tap"
    assert zones.nearest("every zone has what it needs", [passed], lambda: route) == route
    assert zones.nearest("every zone has what it needs", [], lambda: None) == "every zone has what it needs"
