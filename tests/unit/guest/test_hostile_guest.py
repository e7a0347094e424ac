"""A guest that lies, floods or spits: bounded memory, a verdict that blames nobody for nothing, no escapes."""

from __future__ import annotations

import contextlib
import io
import resource
import threading
import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from fakeguest import FakeGuest
from hypothesis import given
from hypothesis import strategies as st
from sshserver import SshServer
from test_guest_console import shell_of
from test_guest_ssh import authorized, shell_to

from lab.access.stream import ConsoleSocket
from lab.core import result
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, GuestUnreachable, Inconclusive, LabError, ProductFailure, verdict_of
from lab.evidence.record import RunRecord, ScenarioRecord, StepRecord
from lab.guest import marker
from reports import allure, html, junit, markdown
from reports.terminal import Terminal
from tests import hostile

FLOOD_MIB = 40


@pytest.fixture
def guest() -> Iterator[FakeGuest]:
    with FakeGuest(["sh", "-i"]) as running:
        yield running


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_ssh_output_without_end_is_inconclusive_in_bounded_memory() -> None:
    with SshServer(authorized()) as server:
        before = resident_mib()
        with pytest.raises(Inconclusive, match=r"more than 16 MiB of it; the last: .*xxx") as caught:
            shell_to(server).run(["sh", "-c", "tr '\\0' x </dev/zero"], deadline=Deadline.after(60))
        assert verdict_of(caught.value) == "inconclusive"
        assert "\x1b" not in str(caught.value)
        assert resident_mib() - before < 10 * (result.MOST_OUTPUT >> 20)


def test_a_console_that_floods_while_nobody_reads_keeps_the_last_of_it() -> None:
    class Flood:
        sock = None

        def __init__(self) -> None:
            self.left = FLOOD_MIB * 16

        def settimeout(self, seconds: float | None) -> None:
            pass

        def recv_data(self, control_frame: bool) -> tuple[int, bytes]:
            self.left -= 1
            if self.left < 0:
                time.sleep(60)
            return 2, bytes([self.left % 251]) * 65536

    flood = Flood()
    socket = ConsoleSocket(flood, "a guest")
    end = time.monotonic() + 20
    while flood.left > 0 and time.monotonic() < end:
        threading.Event().wait(0.01)
    kept = 0
    while piece := socket.recv(0.01):
        kept += len(piece)
        last = piece
    assert 0 < kept <= 4 << 20
    assert last[:1] == b"\0"


def test_a_console_that_never_stops_is_broken_not_a_failure_of_the_product(guest: FakeGuest) -> None:
    shell = shell_of(guest)
    assert shell.run(["echo", "ready"], deadline=Deadline.after(20)).stdout == "ready\n"
    stop = threading.Event()

    def flood() -> None:
        while not stop.wait(0.001):
            guest.noise(b"\x1b[31mlogin: Password: root@guest:~# " + b"A" * 4000 + b":")

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    try:
        with pytest.raises(LabError) as caught:
            shell.run(["sleep", "60"], deadline=Deadline.after(3))
    finally:
        stop.set()
        flooding.join(5)
    assert isinstance(caught.value, EnvironmentTimeout | Inconclusive | GuestUnreachable)
    assert not isinstance(caught.value, ProductFailure)
    assert "\x1b" not in str(caught.value)


@hostile.few(300)
@given(noise=st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([
    b"login: ", b"Password: ", b"# ", b"\r\n", b"MARKB\n", b"MARKM\n", b"MARKE:MARK:MARK 0::x:", b"MARKE:MARK:MARK 0:",
    b"0" * 64, b"a" * 64, b":", b"\x1b[", b"\x1b]0;", b"\x1bP", hostile.ESCAPES.encode(),
])), max_size=12))  # fmt: skip
def test_no_noise_is_taken_for_a_result(noise: list[bytes]) -> None:
    """A mark cannot be guessed; and even with it, a result needs the checksum of both streams."""
    text = marker.plain(b"".join(noise))
    for mark in ("MARK", marker.new_mark()):
        with contextlib.suppress(marker.Damaged, marker.NeverStarted, marker.Interrupted):
            assert marker.find_result(mark, text) is None


def test_escape_sequences_that_never_end_are_read_in_linear_time() -> None:
    began = time.process_time()
    for start in (b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b", b"MARKB\n", b"MARKB\nMARKM\n"):
        marker.plain(start + b"0" * 2_000_000)
        marker.plain(start * 300_000)
        with_marks = marker.plain(start * 200)
        assert marker.find_result("MARK", with_marks) is None
    assert time.process_time() - began < 10


def shown(record: RunRecord) -> dict[str, str]:
    """The record in every form, as text."""
    return {"html": html.render(record), "junit": junit.render(record), "markdown": markdown.render(record)}


@hostile.few(12)
@given(
    said=st.lists(st.one_of(hostile.texts, st.just(hostile.ESCAPES), st.just("]]></x><script>y</script>")), min_size=3)
)
def test_nothing_that_a_guest_said_escapes_into_a_report(
    said: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join(said) + hostile.ESCAPES
    step = StepRecord("Then", f"it answers {text}", "failed", "2026-09-21T08:00:00.000Z", 1.0, text, [text])
    scenario = ScenarioRecord(
        text, "small", "x::y", ["@a"], "failed", text, text, "2026-09-21T08:00:00.000Z", steps=[step]
    )
    record = RunRecord("r1", tmp_path_factory.mktemp("r"), scenarios=[scenario], versions={"guest": text})
    record.finish("finished", 1)
    for name, made in shown(record).items():
        assert not [c for c in made if c in "\x1b\x9b\x07\x08\x00"], name
        assert "<script>y" not in made, name
    ElementTree.fromstring(junit.render(record))
    out = io.StringIO()
    terminal = Terminal(out)
    terminal.scenario(1, 1, scenario)
    terminal.step_began(step)
    terminal.note(text)
    terminal.wait("a guest", text, 1.0, 2.0)
    terminal.step_ended(step)
    terminal.scenario_ended(scenario, explained=False)
    terminal.summary(record)
    assert not [c for c in out.getvalue() if c in "\x1b\x9b\x07\x08\x00"]
    folder = tmp_path_factory.mktemp("allure")
    allure.write(record, folder)
    for path in folder.iterdir():
        assert "\x1b" not in path.read_text(encoding="utf-8")
