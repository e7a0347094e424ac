"""Changing a guest's MAC address: what is typed, and a change that did not happen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive
from lab.core.result import CommandResult
from lab.guest.nic import change_mac

OLD, NEW = "02:00:00:52:01:0a", "02:00:00:66:66:0a"


class Shell:
    """A guest whose NICs have these addresses whatever is typed."""

    place = "guest demo/a (console)"

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.typed: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        self.typed.append(tuple(argv))
        return CommandResult(tuple(argv), self.place, 0, "\n".join(self.addresses) + "\n", "", 0.1)

    def close(self) -> None: ...


def test_addresses_are_arguments_and_are_read_back() -> None:
    shell = Shell(NEW, "00:00:00:00:00:00")
    change_mac(shell, OLD, NEW, deadline=Deadline.after(1))
    assert shell.typed[0][-2:] == (OLD, NEW)
    assert OLD not in shell.typed[0][2]


def test_a_nic_that_kept_its_address_proves_nothing() -> None:
    with pytest.raises(Inconclusive) as error:
        change_mac(Shell(OLD), OLD, NEW, deadline=Deadline.after(1))
    assert f"the MAC address {NEW} in place of {OLD}" in str(error.value)
    assert "the user needs sudo without password" in str(error.value)
