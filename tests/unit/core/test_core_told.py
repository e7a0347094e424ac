"""What the end of a command says: ours in words and with a code, a reader that has enough and our own faults not."""

from __future__ import annotations

import errno

import pytest

from lab.core.errors import EnvironmentBroken, UsageError
from lab.core.told import told


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("a name", "none", "", "type one"), 2, "virtlab: wanted: a name\nfound: none\ntry: type one\n"),
        (EnvironmentBroken("an answer", "silence"), 10, "virtlab: wanted: an answer\nfound: silence\n"),
        (OSError(errno.EACCES, "Permission denied", "/x"), 2, "virtlab: cannot write /x: Permission denied\n"),
        (OSError(errno.ENOSPC, "No space left"), 2, "virtlab: cannot write the output: No space left\n"),
    ],
)
def test_an_error_that_is_no_fault_of_ours_is_told(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    def command() -> int:
        raise error

    assert command() == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), KeyError("x"), OSError(5, "I/O")])
def test_any_other_is_raised(error: Exception) -> None:
    @told
    def command() -> int:
        raise error

    with pytest.raises(type(error)):
        command()
    assert told(lambda: 3)() == 3
