"""Judging two ways into one guest: what differs is told with both answers, and so is a way that is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from lab.core.errors import GuestUnreachable, ProductFailure
from lab.core.result import CommandResult
from lab.diagnosis import expect
from lab.topology.scene import Scene


def said(stdout: str, code: int, way: str) -> CommandResult:
    return CommandResult(("sh", "-c", "x"), f"guest demo/vm-a ({way})", code, stdout, "", 0.1)


class Ways:
    """A scene with one guest; ``refused`` is what SSH ends with."""

    def __init__(self, ssh: str, console: str, *, code: int = 0, refused: str = "") -> None:
        self.answers = {"ssh": said(ssh, code, "ssh"), "console": said(console, 0, "console")}
        self.refused = refused

    def guest(self, name: str) -> str:
        return f"VM {name} on worker-1"

    def over_console(self, name: str, commands: Sequence[str]) -> list[CommandResult]:
        return [self.answers["console"] for _ in commands]

    def over_ssh(self, name: str, commands: Sequence[str]) -> list[CommandResult]:
        if self.refused:
            raise GuestUnreachable("a shell by ssh", self.refused, "guest demo/vm-a (ssh)")
        return [self.answers["ssh"] for _ in commands]


def judge(ways: Ways) -> None:
    expect.alike(cast(Scene, ways), "vm-a", ["x"])


def test_the_same_answer_either_way() -> None:
    judge(Ways("here", "here"))


@pytest.mark.parametrize("ways", [Ways("here", "there"), Ways("here", "here", code=1)])
def test_answers_that_differ_are_told_both(ways: Ways) -> None:
    with pytest.raises(ProductFailure) as differ:
        judge(ways)
    assert "the same output and exit status either way" in str(differ.value)
    assert "(ssh)" in str(differ.value)
    assert "(console)" in str(differ.value)


def test_ssh_that_is_refused_while_the_console_answers_is_a_failure_and_not_the_environment() -> None:
    with pytest.raises(ProductFailure) as refused:
        judge(Ways("", "here", refused="Connection refused"))
    assert "VM vm-a on worker-1 to answer over SSH as it does over its serial console" in str(refused.value)
    assert "Connection refused" in str(refused.value)
