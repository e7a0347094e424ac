"""What a measurement asks of guests: their addresses before and after, also of one that nobody logged in to yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.core.deadline import Deadline
from lab.core.result import CommandResult
from lab.topology.traffic import Traffic

SAID = (
    "2: eth0: <UP> mtu 1500 \\    link/ether 02:00:00:20:24:10 brd ff:ff:ff:ff:ff:ff\n"
    "2: eth0    inet 192.168.24.20/24 brd 192.168.24.255 scope global eth0\n"
)


class Console:
    place = "guest demo/vm-a (console)"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        return CommandResult(tuple(argv), self.place, 0, SAID, "", 0.1)

    def close(self) -> None:
        pass


class Vm:
    """A VM that was asked for; its shell is there once somebody uses it."""

    name = "vm-a"
    shell: Any = None


class Stage:
    """As much of a scene as flows look at."""

    def __init__(self) -> None:
        self.guests = {"vm-a": Vm()}

    def guest(self, name: str) -> Vm:
        self.guests[name].shell = self.guests[name].shell or Console()
        return self.guests[name]


def test_a_guest_that_nobody_logged_in_to_is_asked_before_the_first_disturbance() -> None:
    traffic = Traffic(Stage())  # type: ignore[arg-type]
    traffic._look_at_addresses("before")
    assert traffic.addresses["vm-a"].before == {"eth0": ("02:00:00:20:24:10", ("192.168.24.20/24",))}
