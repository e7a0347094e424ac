"""A busy guest's load, run in this machine's shell: it goes on by itself, and one page that is another is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ToolMissing
from lab.core.result import CommandResult
from lab.guest import busy


class HereShell:
    """Runs on this machine."""

    place = "here"

    def __init__(self, answer: CommandResult | None = None) -> None:
        self.answer = answer

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        if self.answer:
            return self.answer
        done = subprocess.run(list(argv), capture_output=True, text=True, timeout=deadline.remaining(), check=False)
        return CommandResult(tuple(argv), self.place, done.returncode, done.stdout, done.stderr, 0.0)

    def close(self) -> None:
        return


def soon() -> Deadline:
    return Deadline.after(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(busy.start(HereShell(), 1, deadline=soon()))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_it_goes_on_writing_and_reads_what_it_wrote(folder: Path) -> None:
    found = busy.look(HereShell(), str(folder), deadline=soon())
    assert found.after >= found.before + 2
    assert found.differs == ""


def test_what_is_not_as_it_was_written_is_seen(folder: Path) -> None:
    busy.look(HereShell(), str(folder), deadline=soon())
    # What is written here is never read again.
    (folder / "elsewhere").symlink_to("/dev/null")
    (folder / "elsewhere").replace(folder / "written")
    found = busy.look(HereShell(), str(folder), deadline=soon())
    assert "written" in found.differs


def test_a_load_that_ended_says_so_even_where_it_left_no_word(folder: Path) -> None:
    """As on a file system that is full: what stands still for want of room was not lost in a migration."""
    busy.look(HereShell(), str(folder), deadline=soon())
    (folder / "a").unlink()
    assert "No such file" in busy.look(HereShell(), str(folder), deadline=soon()).differs
    (folder / "differs").write_text("")
    assert busy.look(HereShell(), str(folder), deadline=soon()).differs == "the load ended without a word"


def test_room_for_the_load_is_taken_before_it_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A place with room for the patterns, and none for what is written of them."""
    cp = tmp_path / "cp"
    cp.write_text('#!/bin/sh\necho "cp: write error: No space left on device" >&2\nexit 1\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Inconclusive, match="No space left on device"):
        busy.start(HereShell(), 1, deadline=soon())


def test_a_guest_without_cmp_and_one_without_room_are_no_product_s_fault() -> None:
    def answer(code: int, out: str = "") -> HereShell:
        return HereShell(CommandResult(("sh",), "demo/vm-a", code, out, "", 0.1))

    with pytest.raises(ToolMissing, match="cmp"):
        busy.start(answer(3), 8, deadline=soon())
    with pytest.raises(Inconclusive, match="8 MiB of memory"):
        busy.start(answer(4), 8, deadline=soon())
    with pytest.raises(Inconclusive, match="rounds of the load"):
        busy.look(answer(0, "what?\n"), "/tmp/x", deadline=soon())
