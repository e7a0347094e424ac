"""Local commands, the undo stack and names."""

from __future__ import annotations

import os
import resource
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core import names, process
from lab.core import result as results
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, EndlessOutput, EnvironmentTimeout, ToolMissing
from lab.core.undo import UndoStack


def test_both_streams_and_the_status_come_back() -> None:
    result = process.run(["sh", "-c", "cat; echo err >&2; exit 3"], deadline=Deadline.after(5), stdin="in")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "in", "err\n")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ToolMissing, match="no-such-program-x"):
        process.run(["no-such-program-x"], deadline=Deadline.after(5))


def test_check_raises_with_the_whole_command() -> None:
    with pytest.raises(CommandFailed, match="exit status 4"):
        process.run(["sh", "-c", "exit 4"], deadline=Deadline.after(5), check=True)


def test_a_deadline_ends_the_command_with_its_children() -> None:
    start = time.monotonic()
    with pytest.raises(EnvironmentTimeout, match="so far"):
        process.run(["sh", "-c", "echo so far; sleep 60 & sleep 60; wait"], deadline=Deadline.after(0.3))
    assert time.monotonic() - start < 4


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output_over_the_limit_is_given_up_in_bounded_memory(stream: str) -> None:
    before = resident_mib()
    argv = ["sh", "-c", f"head -c 40000000 /dev/zero | tr '\\0' x >&{stream}"]
    with pytest.raises(EndlessOutput) as caught:
        process.run(argv, deadline=Deadline.after(60), place="outside host gw")
    assert str(caught.value).splitlines()[:3] == [
        "wanted: the output of 'sh' to end",
        f"found: more than 16 MiB of it; the last: b'{'x' * 100}'",
        "where: outside host gw",
    ]
    assert resident_mib() - before < 6 * (results.MOST_OUTPUT >> 20)


def test_what_prints_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []
    begin = process.start_process

    def start(argv: list[str], **how: object) -> subprocess.Popen[bytes]:
        children.append(begin(argv, **how))  # type: ignore[arg-type]
        return children[-1]

    monkeypatch.setattr(process, "start_process", start)
    with pytest.raises(EndlessOutput):
        process.run(["sh", "-c", "yes & yes"], deadline=Deadline.after(60))
    assert children[0].poll() is not None


def test_much_goes_in_and_comes_out_whole() -> None:
    text = "a line of some length\n" * 20_000
    result = process.run(["tee", "/dev/stderr"], deadline=Deadline.after(20), stdin=text)
    assert (result.stdout, result.stderr) == (text, text)
    assert process.run(["true"], deadline=Deadline.after(20), stdin=text).ok


def test_last_words_are_not_waited_for_when_a_child_s_child_holds_the_pipe() -> None:
    child = process.start_process(["sh", "-c", "echo gone >&2; sleep 30 & exit 1"])
    start = time.monotonic()
    process.wait(child, 5)
    assert process.last_words(child) == "gone"
    assert time.monotonic() - start < 4
    os.killpg(child.pid, 9)
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()


def test_undo_goes_backwards_collects_errors_and_has_time_of_its_own() -> None:
    done: list[str] = []

    def fail(deadline: Deadline) -> None:
        raise RuntimeError("held by a finalizer")

    stack = UndoStack()
    stack.push("first", lambda d: done.append(f"first {d.remaining() > 0}"))
    stack.push("second", fail)
    stack.push("third", lambda d: done.append("third"))
    assert stack.pending == ("third", "second", "first")
    failures = stack.unwind(0)
    assert done == ["third", "first True"]
    assert [(f.what, str(f.error)) for f in failures] == [("second", "held by a finalizer")]
    assert stack.pending == ()


def test_one_interrupt_still_undoes_the_rest_and_a_second_leaves_a_list() -> None:
    done: list[str] = []

    def interrupted(deadline: Deadline) -> None:
        raise KeyboardInterrupt

    stack = UndoStack()
    stack.push("a", lambda d: done.append("a"))
    stack.push("b", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stack.unwind(5)
    assert done == ["a"]
    stack.push("a", lambda d: done.append("a"))
    stack.push("b", interrupted)
    stack.push("c", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stack.unwind(5)
    assert stack.pending == ("b", "a")


@given(st.text(max_size=100))
def test_any_text_becomes_a_dns_label(text: str) -> None:
    import re

    for name in (names.dns_label(text), names.unique(text)):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)


def test_ownership_is_added_to_a_copy() -> None:
    manifest = {"metadata": {"name": "a", "labels": {"app": "a"}}}
    owned = names.owned(manifest, "run-1")
    assert owned["metadata"]["labels"] == {
        "app": "a",
        "virtlab.dev/run": "run-1",
        "app.kubernetes.io/managed-by": "virtlab",
    }
    assert manifest == {"metadata": {"name": "a", "labels": {"app": "a"}}}
