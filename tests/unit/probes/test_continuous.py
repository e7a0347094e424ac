"""A ping that runs on by itself: what never ran is broken, what is no log is inconclusive, the rest is numbers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from places import BUSYBOX, IPUTILS, TS, Here

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted, ToolMissing
from lab.probes.clocks import Stretch
from lab.probes.continuous import ContinuousPing, ping_words, read_log
from lab.probes.detached import Detached, unpacked
from lab.probes.series import Frame, Series
from lab.probes.toolbox import Toolbox, look, read_toolbox

EVEN = (Stretch(0.0, 1e10, 0.0, 0.001),)
FRAME = Frame("ping", "guest demo/a", "10.0.0.1", 10, 0.0, 1000.0)


def tools(ping: str = "iputils", clock: tuple[str, ...] = ("bash",), *has: str) -> Toolbox:
    return Toolbox("guest demo/a", clock, ping, "", frozenset(has))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def install(here: Here, source: str, name: str = "ping", **words: str) -> None:
    given = {"python": sys.executable, "answers": "True", "end": "end", "interval": "0.01", "user": ""} | words
    path = here.programs / name
    path.write_text(source.format(**given))
    path.chmod(0o755)


def ran(here: Here, seconds: float, box: Toolbox | None = None) -> Series:
    probe = ContinuousPing(here, "10.0.0.1", box or look(here, deadline=Deadline.after(10)))
    probe.start(Deadline.after(10))
    time.sleep(seconds)
    probe.stop(Deadline.after(20))
    return probe.read(EVEN)


def test_iputils_stamps_by_itself(here: Here) -> None:
    install(here, IPUTILS, answers="not 30 <= n < 60")
    seen = ran(here, 1.0)
    assert seen.lost == 30
    assert 290 < seen.longest_gap_ms < 500
    assert not seen.gaps[0].open
    assert here.left() == []


@pytest.mark.skipif(not shutil.which("bash"), reason="needs a shell that knows the time, found no bash")
def test_a_ping_without_stamps_is_stamped_by_a_shell_that_knows_the_time(here: Here) -> None:
    install(here, BUSYBOX, answers="not 30 <= n < 60")
    seen = ran(here, 1.0)
    assert (seen.lost, seen.answers[0][0]) == (30, 0)
    assert 290 < seen.longest_gap_ms < 500
    assert seen.remarks == ()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs a shell that knows the time, found no bash")
def test_ts_stamps_all_but_the_first_answer_where_it_knows_fractions(here: Here) -> None:
    install(here, BUSYBOX, answers="not 30 <= n < 60")
    install(here, TS, "ts")
    assert "ts" in look(here, deadline=Deadline.after(10)).has
    seen = ran(here, 1.0)
    assert (seen.lost, seen.answers[0][0]) == (30, 0)
    assert 290 < seen.longest_gap_ms < 500
    install(here, "#!/bin/sh\ncat\n", "ts")
    assert "ts" not in look(here, deadline=Deadline.after(10)).has


def test_without_any_stamps_gaps_are_counted_in_packets_and_that_is_said(here: Here) -> None:
    install(here, BUSYBOX, answers="not 30 <= n < 60")
    seen = ran(here, 1.0, tools("busybox", ()))
    assert seen.longest_gap_ms == 300
    assert "no time stamps" in seen.remarks[0]


def test_a_late_recovery_is_waited_for_and_not_cut_off(here: Here) -> None:
    install(here, IPUTILS, answers="not 20 <= n < 120")
    seen = ran(here, 0.3)
    assert not seen.gaps[0].open
    assert seen.longest_gap_ms > 900


def test_silence_to_the_end_is_an_open_gap(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.probes.continuous._RECOVERY_S", 0.5)
    install(here, IPUTILS, answers="n < 20")
    seen = ran(here, 0.2)
    assert seen.gaps[0].open
    assert seen.lost > 20
    assert 300 < seen.longest_gap_ms < 5000


def test_a_ping_killed_without_a_summary_is_counted_and_that_is_said(here: Here) -> None:
    install(here, IPUTILS, end="lambda *_: sys.exit(1)")
    seen = ran(here, 0.3)
    assert seen.received > 20
    assert "without a summary" in seen.remarks[0]


def test_where_short_intervals_are_root_s_the_shortest_allowed_is_taken_and_said(here: Here) -> None:
    install(here, IPUTILS, user="yes", interval="0.2")
    seen = ran(here, 0.5, tools())
    assert seen.interval_ms == 200
    assert "no interval below 200 ms" in seen.remarks[0]


def test_a_ping_that_ends_at_once_never_started(here: Here) -> None:
    (here.programs / "ping").write_text("#!/bin/sh\necho ping: connect: Network is unreachable >&2; exit 2\n")
    (here.programs / "ping").chmod(0o755)
    probe = ContinuousPing(here, "10.0.0.1", tools())
    with pytest.raises(ProbeNotStarted, match="it ended: ping: connect: Network is unreachable"):
        probe.start(Deadline.after(10))
    assert here.left() == []


def test_a_ping_without_answers_never_started_and_does_not_stay(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.probes.detached._LOOKS", 10)
    install(here, IPUTILS, answers="False")
    with pytest.raises(ProbeNotStarted, match="no success yet"):
        ContinuousPing(here, "10.0.0.1", tools()).start(Deadline.after(10))
    assert here.left() == []


def test_a_place_without_ping_is_said() -> None:
    with pytest.raises(ToolMissing, match="wanted: ping for a ping"):
        ContinuousPing(Here(Path("/nowhere")), "10.0.0.1", tools("")).start(Deadline.after(1))


@pytest.mark.parametrize(
    "text", ["", "PING 10.0.0.1\n", "%s garbage\n", "3 packets transmitted, 0 received, 100% packet loss\n"]
)
def test_what_is_no_log_is_inconclusive_and_never_loss(text: str) -> None:
    with pytest.raises(Inconclusive, match="answers in the log"):
        read_log(text, EVEN, FRAME)


def test_a_summary_that_contradicts_its_lines_is_inconclusive() -> None:
    lines = "".join(f"[{100 + n / 100:.6f}] 64 bytes from 10.0.0.1: icmp_seq={n} ttl=64 time=1 ms\n" for n in (1, 2, 3))
    with pytest.raises(Inconclusive, match="to match its lines"):
        read_log(f"{lines}\n2 packets transmitted, 2 received, 0% packet loss\n", EVEN, FRAME)


def test_the_words_of_each_ping() -> None:
    assert ping_words(tools(), "fd00::1", 10, 600) == ["ping", "-n", "-D", "-i", "0.01", "-w", "600", "fd00::1"]
    assert ping_words(tools(), "10.0.0.1", 10, 9, root=True)[:3] == ["sudo", "-n", "ping"]
    busybox = ping_words(tools("busybox", ("busybox", "sh")), "$(reboot)", 10, 600)
    assert busybox[:3] == ["busybox", "sh", "-c"]
    assert busybox[-1] == "$(reboot)"
    assert "reboot" not in busybox[3]


def test_a_hostile_log_is_bounded_and_a_damaged_one_refused() -> None:
    assert unpacked("as is\nline\n") == "line\n"
    for text in ("", "gz\n", "gz\nnot base64!", "gz\nAAAA", "what\nline"):
        assert unpacked(text) is None


def test_what_a_place_has_is_found_out_and_a_shell_that_says_something_else_is_refused(here: Here) -> None:
    box = look(here, deadline=Deadline.after(10))
    assert "gzip" in box.has
    assert read_toolbox("clock bash\nping iputils\nhas dd\nend\n", "a") == Toolbox(
        "a", ("bash",), "iputils", "", frozenset({"dd"})
    )
    assert read_toolbox("clock bash\n", "a") is None
    with pytest.raises(ToolMissing, match="iperf3 or nc for the throughput"):
        tools().first("the throughput", "iperf3", "nc")


@pytest.mark.parametrize(
    ("asked", "wanted"), [("exit 0", True), ("echo 'sudo: a password is required' >&2; exit 1", False)]
)
def test_sudo_counts_only_where_it_gives_root(here: Here, asked: str, wanted: bool) -> None:
    """Within a user namespace the machine's own sudo is found and cannot work."""
    program = here.programs / "sudo"
    program.write_text(f"#!/bin/sh\n{asked}\n")
    program.chmod(0o755)
    assert ("sudo" in look(here, deadline=Deadline.after(10)).has) is wanted


def test_a_script_outlives_the_session_that_started_it(here: Here) -> None:
    job = Detached(here, "a counter")
    job.start(
        ["sh", "-c", "n=0; while [ $n -lt 200 ]; do n=$((n+1)); echo line $n; sleep 0.01; done"],
        running="line 3",
        deadline=Deadline.after(5),
    )
    found = job.stop(more="line", wait_s=1, signal="TERM", deadline=Deadline.after(10))
    assert "line 3\n" in found.stdout
    assert here.left() == []
    with pytest.raises(Inconclusive, match="the log of a counter"):
        job.stop(deadline=Deadline.after(5))


def test_an_answer_seen_late_beside_a_pause_widens_the_error_and_is_said() -> None:
    """The answer before the silence took 401 ms to be seen: it may have come before or after the pause of 300 ms."""
    lines = [f"[{100 + n / 100:.6f}] 64 bytes from 10.0.0.1: icmp_seq={n} ttl=64 time=1.00 ms" for n in range(1, 101)]
    lines[-1] = lines[-1].replace("time=1.00", "time=400")
    lines += [f"[{101.5 + n / 100}] 64 bytes from 10.0.0.1: icmp_seq={110 + n} ttl=64 time=1.00 ms" for n in range(50)]
    text = "\n".join(["PING", *lines, "", "160 packets transmitted, 150 received, 6% packet loss, time 2000ms"])
    paused = (Stretch(100.0, 101.1, 0.0, 0.002, 0.0), Stretch(101.7, 103.0, -0.3, 0.002, -0.3))
    seen, even = read_log(text, paused, FRAME), read_log(text, EVEN, FRAME)
    assert seen.gap_error_ms > 400
    assert [remark for remark in seen.remarks if "took 401 ms to be seen" in remark]
    assert (even.gap_error_ms, even.remarks) == (0.0, ())


def test_a_log_that_lost_lines_is_inconclusive_and_never_loss() -> None:
    lines = [f"[{100 + n / 100}] 64 bytes from 10.0.0.1: icmp_seq={n} ttl=64 time=1.00 ms" for n in range(1, 101)]
    end = ["", "100 packets transmitted, 100 received, 0% packet loss, time 1000ms"]
    assert read_log("\n".join(["PING", *lines, *end]), EVEN, FRAME).lost == 0
    for kept in (lines[40:], [*lines[:30], *lines[31:]]):
        with pytest.raises(Inconclusive, match="to match its lines"):
            read_log("\n".join(["nonsense", *kept, *end]), EVEN, FRAME)


def test_a_ping_that_somebody_killed_is_inconclusive_and_no_gap_to_the_end(here: Here) -> None:
    install(here, IPUTILS)
    probe = ContinuousPing(here, "10.0.0.1", look(here, deadline=Deadline.after(10)))
    probe.start(Deadline.after(10))
    [pid] = here.programs.glob("virtlab-probe.*/pid")
    os.kill(int(pid.read_text()), signal.SIGKILL)
    probe.stop(Deadline.after(3))
    with pytest.raises(Inconclusive, match="it had ended before it was stopped"):
        probe.read(EVEN)
    assert here.left() == []
