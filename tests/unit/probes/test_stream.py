"""Sessions that must live on: real TCP through nc, records both ways, and an end that is seen and said."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import RELAY, Here

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted, ToolMissing
from lab.probes.clocks import Stretch
from lab.probes.peer import Peer
from lab.probes.series import Frame
from lab.probes.stream import OutsideStream, PlaceStream, carrier, direction, read_records
from lab.probes.toolbox import Toolbox, look

EVEN = (Stretch(0.0, 1e10, 0.0, 0.001),)
CONNECT = (sys.executable, "-c", RELAY, "{host}", "{port}")
FRAME = Frame("tcp", "a", "b", 50, 0.0, 1.0)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox for its nc, found none")
    (tmp_path / "nc").write_text(f'#!/bin/sh\nexec {busybox} nc "$@"\n')
    (tmp_path / "nc").chmod(0o755)
    return Here(tmp_path)


def box(here: Here) -> Toolbox:
    found = look(here, deadline=Deadline.after(20))
    if not found.clock:
        pytest.skip("needs a shell that knows the time, found none")
    assert found.nc == "busybox"
    return found


def test_a_stream_between_an_outside_host_and_a_guest_goes_both_ways(here: Here) -> None:
    stream = OutsideStream(CONNECT, "gateway", here, "127.0.0.1", box(here), name="vm-a")
    stream.start(Deadline.after(20))
    time.sleep(1.0)
    stream.stop(Deadline.after(20))
    there, back = stream.read(EVEN)
    for series in (there, back):
        assert series.received >= 10
        assert (series.lost, series.duplicates, series.reordered, series.broke) == (0, 0, 0, "")
        assert series.longest_gap_ms < 1000
    assert there.answers[0][0] == back.answers[0][0] == 0
    assert here.left() == []


def test_a_stream_between_two_guests_goes_both_ways(here: Here) -> None:
    tools = box(here)
    stream = PlaceStream(here, here, "127.0.0.1", (tools, tools), ("vm-b", "vm-a"))
    stream.start(Deadline.after(20))
    time.sleep(0.6)
    stream.stop(Deadline.after(30))
    for series in stream.read(EVEN, EVEN):
        assert series.received >= 5
        assert (series.lost, series.broke) == (0, "")
    assert here.left() == []


@contextmanager
def relay() -> Iterator[tuple[tuple[str, ...], threading.Event]]:
    """A `connect` command whose connection is cut by an event."""
    cut = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        inside, _ = listener.accept()
        with inside, inside.makefile("rb") as lines:
            far = socket.create_connection(("127.0.0.1", int(lines.readline())))
            with far:
                pumps = [threading.Thread(target=_pump, args=pair) for pair in ((inside, far), (far, inside))]
                for pump in pumps:
                    pump.start()
                cut.wait(20)
                for end in (inside, far):
                    end.shutdown(socket.SHUT_RDWR)
                for pump in pumps:
                    pump.join()

    running = threading.Thread(target=run)
    running.start()
    hello = RELAY.replace("def out", "s.sendall(b'%d\\n' % PORT)\ndef out", 1)
    port = listener.getsockname()[1]
    code = hello.replace("(sys.argv[1], int(sys.argv[2]))", f"('127.0.0.1', {port})").replace(
        "PORT", "int(sys.argv[2])"
    )
    yield (sys.executable, "-c", code, "{host}", "{port}"), cut
    running.join()
    listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass


def test_a_stream_that_breaks_says_when_and_why(here: Here) -> None:
    with relay() as (connect, cut):
        stream = OutsideStream(connect, "gateway", here, "127.0.0.1", box(here), name="vm-a")
        stream.start(Deadline.after(20))
        time.sleep(0.5)
        before = time.time()
        cut.set()
        time.sleep(0.7)
        stream.stop(Deadline.after(20))
        _, back = stream.read(EVEN)
    assert "closed it" in back.broke or "failed" in back.broke
    assert before - 0.1 < back.broke_at < before + 0.7
    assert back.gaps[0].open


def test_a_stream_that_nobody_lets_through_never_started(here: Here) -> None:
    refuse = (sys.executable, "-c", "import sys; sys.exit('no route to {host}')")
    stream = OutsideStream(refuse, "gateway", here, "10.9.9.9", box(here), name="vm-a")
    with pytest.raises(ProbeNotStarted, match=r"no route to 10\.9\.9\.9"):
        stream.start(Deadline.after(20))
    assert here.left() == []


def tools(nc: str = "", *has: str) -> Toolbox:
    return Toolbox("guest demo/a", ("bash",), "busybox", nc, frozenset(has))


@pytest.mark.parametrize(
    ("box", "host", "wanted"),
    [
        (tools("busybox"), "", ["nc", "-l", "-p", "7"]),
        (tools("traditional"), "", ["nc", "-l", "-p", "7"]),
        (tools("openbsd"), "", ["nc", "-l", "7"]),
        (tools("ncat"), "10.0.0.1", ["nc", "10.0.0.1", "7"]),
        (tools("", "socat"), "fd00::1", ["socat", "-", "TCP:[fd00::1]:7"]),
        (tools("", "socat"), "", ["socat", "-", "TCP-LISTEN:7,reuseaddr"]),
    ],
)
def test_what_carries_the_bytes_is_what_the_place_has(box: Toolbox, host: str, wanted: list[str]) -> None:
    assert carrier(box, host, 7) == wanted


def test_what_cannot_be_carried_names_what_was_looked_for() -> None:
    assert carrier(tools("", "bash"), "10.0.0.1", 7)[0] == "bash"
    with pytest.raises(ToolMissing, match="nc or socat to listen"):
        carrier(tools("", "bash"), "", 7)
    with pytest.raises(ToolMissing, match="nc, socat or bash to connect"):
        carrier(tools(), "10.0.0.1", 7)


def test_records_are_read_and_noise_is_left_out() -> None:
    got = read_records("up\n1.5 0 1.0\nnoise\n1.6 1 x\n2.0 1 1.9\n2.1 en\n3.0 end\n2.2 2")
    assert (got.seqs, got.sent, got.came, got.over) == ([0, 1], [1.0, 1.9], [1.5, 2.0], 3.0)
    with pytest.raises(Inconclusive, match="none came"):
        direction(FRAME, read_records("up\n"), (), ())


def test_a_peer_that_takes_nothing_any_more_is_a_break() -> None:
    ours, theirs = socket.socketpair()
    peer = Peer(ours, 20)
    theirs.sendall(b"hello\n")
    assert peer.start(Deadline.after(5))
    assert not peer.wait_line(Deadline.after(0.1))
    theirs.close()
    time.sleep(0.3)
    peer.stop()
    assert peer.broke
    assert [line for _, line in peer.arrivals] == ["hello"]
    ours.close()
