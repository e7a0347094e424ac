"""Leases and cloud-init data, judged by what a guest says over its console and by events of its VM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import ProductFailure, WaitTimeout
from lab.core.result import CommandResult
from lab.diagnosis import cloudinit, leases
from lab.kubevirt.interfaces import GuestInterface, VmiState
from lab.target.inventory import Segment
from lab.topology import leases as waiting
from lab.topology.scene import GuestVm

NETWORK = Segment("network external", "192.168.53.1", "192.168.53.0/24", ("192.168.53.20", "192.168.53.99"))
MAC = "02:76:6c:00:00:10"
NOTE = "of its cloud-init data the built-in guest says: not supported here: packages (httpd)"


class World:
    """A scene with one VM; also its site, its client, its guest's shell and a watch on events."""

    place = "guest demo/fedora"

    def __init__(self) -> None:
        self.guest_vm = GuestVm("fedora", "demo", NETWORK, MAC, (), ["w1"], self)  # type: ignore[arg-type]
        self.site = self.client = self
        self.addresses = ["127.0.0.1/8", "192.168.53.176/24"]
        self.mac = MAC
        self.networks: list[dict[str, Any]] = [{"name": "coe", "multus": {"networkName": "coe"}}]
        self.prints = {"id -un": "coe"}
        self.notes: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.items: dict[str, Any] = {}
        self.residents = self

    def guest(self, _: str) -> GuestVm:
        return self.guest_vm

    def settle(self) -> None:
        pass

    def say(self, texts: Any) -> None:
        self.said += texts

    def state(self, _: str) -> VmiState:
        return VmiState("fedora", "demo", "u", "Running", "w1", (GuestInterface("coe", self.mac),))

    def vmi(self, _: str) -> dict[str, Any]:
        return {"spec": {"networks": self.networks}}

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        if argv[0] == "ip":
            return self._done("".join(f"2: eth0    inet {a} scope global eth0\n" for a in self.addresses))
        return self._done(argv[1] + "\n")

    def over_console(self, _: str, commands: Sequence[str]) -> list[CommandResult]:
        return [self._done(self.prints.get(c, ""), 0 if c in self.prints else 127) for c in commands]

    @staticmethod
    def _done(text: str, code: int = 0) -> CommandResult:
        return CommandResult(("x",), "guest", code, text, "", 0.1)

    def watch(self, *_: object, **__: object) -> World:
        about = [{"involvedObject": {"name": name}, "message": text} for name, text in self.notes]
        self.items = {str(i): event for i, event in enumerate(about)}
        return self

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, _: float) -> None:
        return None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(waiting, "LEASE_S", 0.2)
    monkeypatch.setattr(cloudinit, "NAMED_S", 0.2)
    monkeypatch.setattr(leases, "explain", lambda *_: "the cause")
    return World()


def test_a_lease_is_an_address_in_the_network_and_becomes_the_vms_own(world: World) -> None:
    leases.leased(world, "fedora")  # type: ignore[arg-type]
    assert world.guest_vm.addresses == ("192.168.53.176",)
    assert world.said == ["VM fedora on w1 has 192.168.53.176"]


def test_an_address_elsewhere_is_no_lease_and_the_failure_has_its_cause(world: World) -> None:
    world.addresses = ["169.254.3.4/16"]
    with pytest.raises(ProductFailure) as raised:
        leases.leased(world, "fedora")  # type: ignore[arg-type]
    assert raised.value.wanted == (
        "VM fedora on w1 to have an address of 192.168.53.0/24 from a DHCP server on network external"
    )
    assert raised.value.found.endswith(": no address in it; the cause")
    assert isinstance(raised.value.__cause__, WaitTimeout)


def test_what_was_kept_is_the_lease_in_the_guest_and_the_mac_address_as_reported(world: World) -> None:
    leases.leased(world, "fedora")  # type: ignore[arg-type]
    leases.kept(world, "fedora")  # type: ignore[arg-type]
    world.mac = "02:00:00:00:00:99"
    with pytest.raises(ProductFailure, match="with the MAC address 02:76:6c:00:00:10\nfound: it is reported with"):
        leases.kept(world, "fedora")  # type: ignore[arg-type]
    world.addresses = ["192.168.53.177/24"]
    with pytest.raises(ProductFailure, match=r"with the address 192\.168\.53\.176\nfound: 192\.168\.53\.177"):
        leases.kept(world, "fedora")  # type: ignore[arg-type]


def test_a_vm_on_the_pod_network_has_another_way_in(world: World) -> None:
    leases.off_the_pod_network(world, "fedora")  # type: ignore[arg-type]
    world.networks.append({"name": "default", "pod": {}})
    with pytest.raises(ProductFailure, match="it has default"):
        leases.off_the_pod_network(world, "fedora")  # type: ignore[arg-type]


def test_commands_must_print_what_stands_beside_them(world: World) -> None:
    cloudinit.printed(world, "fedora", [("id -un", "coe")])  # type: ignore[arg-type]
    with pytest.raises(ProductFailure, match="id -un: 'coe' instead of 'root'; sudo id: '' instead of 'root'"):
        cloudinit.printed(world, "fedora", [("id -un", "root"), ("sudo id", "root")])  # type: ignore[arg-type]


ROWS = [("packages (httpd)", "rpm -q httpd"), ("runcmd", "systemctl is-active httpd")]


def test_a_part_that_is_done_needs_nobody_to_name_it(world: World) -> None:
    world.prints |= {"rpm -q httpd": "httpd-2.4", "systemctl is-active httpd": "active"}
    cloudinit.done_or_named(world, "fedora", ROWS)  # type: ignore[arg-type]
    assert world.said == ["fedora did packages (httpd), runcmd"]


def test_a_part_that_is_not_done_is_named_by_an_event_of_that_vm(world: World) -> None:
    world.notes = [("fedora", f"{NOTE}; runcmd ended with status 127")]
    cloudinit.done_or_named(world, "fedora", ROWS)  # type: ignore[arg-type]
    assert world.said == [f"{NOTE}; runcmd ended with status 127"]


def test_a_part_that_is_neither_done_nor_named_is_a_failure(world: World) -> None:
    world.notes = [("fedora", NOTE), ("other", "runcmd")]
    with pytest.raises(
        ProductFailure, match=r"wanted: packages \(httpd\), runcmd of its(.|\n)*found: nothing of runcmd"
    ):
        cloudinit.done_or_named(world, "fedora", ROWS)  # type: ignore[arg-type]
