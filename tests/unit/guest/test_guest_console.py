"""The console shell against real shells on a pty behind a real websocket server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakeguest import FakeGuest
from kubernetes import client as k8s

from lab.access.stream import open_console
from lab.access.transport import Transport
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, GuestUnreachable, Inconclusive
from lab.guest.console import ConsoleShell

SHELLS = {
    "sh": ["sh", "-i"],
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "ash": ["busybox", "ash", "-i"],
}


def shell_of(guest: FakeGuest, password: str = "secret", **options: Any) -> ConsoleShell:
    configuration = k8s.Configuration()
    configuration.host = guest.url
    configuration.proxy = None
    transport = Transport(k8s.ApiClient(configuration))
    return ConsoleShell(
        lambda deadline: open_console(transport, "a", "demo", deadline=deadline),
        guest.user,
        password,
        name="demo/a",
        **options,
    )


@pytest.fixture(params=[name for name, argv in SHELLS.items() if shutil.which(argv[0])])
def guest(request: pytest.FixtureRequest) -> Iterator[FakeGuest]:
    with FakeGuest(SHELLS[request.param]) as running:
        yield running


@pytest.fixture
def simple() -> Iterator[FakeGuest]:
    with FakeGuest(SHELLS["sh"]) as running:
        yield running


def test_status_and_both_streams_are_exact(guest: FakeGuest) -> None:
    shell = shell_of(guest)
    deadline = Deadline.after(40)
    result = shell.run(["sh", "-c", "echo one; echo two >&2; printf 'no newline'; exit 42"], deadline=deadline)
    assert (result.exit_code, result.stdout, result.stderr) == (42, "one\nno newline", "two\n")
    assert shell.run(["true"], deadline=deadline).output == ""
    assert shell.run(["false"], deadline=deadline).exit_code == 1
    assert shell.run(["no-such-program"], deadline=deadline).exit_code == 127
    shell.close()


TEXTS = ("tab\there", 'it\'s "quoted" $HOME `id` \\n !! %s', "ümlaut ☃", "a\nb\r\nc\x03\x04\x1b[31m", "")


def test_arguments_arrive_as_they_are(guest: FakeGuest) -> None:
    shell = shell_of(guest)
    for text in TEXTS:
        result = shell.run(["printf", "%s", text], deadline=Deadline.after(40))
        assert (result.exit_code, result.stdout) == (0, text)
    shell.close()


def test_a_long_command_and_a_big_output_arrive_whole(guest: FakeGuest) -> None:
    shell = shell_of(guest)
    long = "x" * 3000 + "'\n\\" * 300
    deadline = Deadline.after(60)
    assert shell.run(["printf", "%s", long], deadline=deadline).stdout == long
    counted = shell.run(
        ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"], deadline=deadline
    )
    assert counted.stdout == "".join(f"line {n}\n" for n in range(20000))
    shell.close()


@pytest.mark.parametrize("lost", [b"+printf", b"m" * 80])
def test_a_script_that_lost_something_on_its_way_is_not_run_but_sent_again(guest: FakeGuest, lost: bytes) -> None:
    shell = shell_of(guest)
    deadline = Deadline.after(60)
    shell.run(["true"], deadline=deadline)
    guest.swallow = [lost]
    text = "m" * 2500
    assert shell.run(["printf", "%s", text], deadline=deadline).stdout == text
    assert not guest.swallow
    shell.close()


def test_fake_prompts_and_control_sequences_in_output_fool_nobody(simple: FakeGuest) -> None:
    shell = shell_of(simple)
    hostile = "\nguest login: \x1b[2J\nPassword: \nE:0:\nroot# \nLogin incorrect\nguest$ "
    result = shell.run(["sh", "-c", 'printf %s "$1"; exit 7', "sh", hostile], deadline=Deadline.after(30))
    assert (result.exit_code, result.stdout) == (7, hostile)
    assert shell.run(["echo", "still", "here"], deadline=Deadline.after(30)).stdout == "still here\n"
    shell.close()


def test_kernel_noise_over_the_prompt_and_in_the_output_is_survived() -> None:
    banner = "".join(f"[    {n}.000000] booting part {n}\r\n" for n in range(50))
    with FakeGuest(SHELLS["sh"], banner=banner) as guest:
        guest.noise(b"[   10.1] virtio_net: renamed from eth0\r\n")
        shell = shell_of(guest)
        shell.login(Deadline.after(30))
        guest.corrupt.append((b"b25lCg==", b"b25[  55.5] Oops\r\nlCg=="))
        result = shell.run(["echo", "one"], deadline=Deadline.after(30))
        assert result.stdout == "one\n"
        assert not guest.corrupt
        shell.close()


def test_noise_on_top_of_the_login_prompt_is_answered_with_a_newline(simple: FakeGuest) -> None:
    simple.wait_sent(b"login: ")
    shell = shell_of(simple)
    threading.Timer(0.05, simple.noise, [b"[   12.3] eth0: link becomes ready\r\n"]).start()
    assert shell.run(["echo", "in"], deadline=Deadline.after(30)).stdout == "in\n"
    shell.close()


def test_a_half_done_login_of_somebody_else_is_ended(simple: FakeGuest) -> None:
    simple.wait_sent(b"login: ")
    simple.type(b"somebody\n")
    simple.wait_sent(b"Password: ")
    shell = shell_of(simple)
    assert shell.run(["echo", "in"], deadline=Deadline.after(30)).stdout == "in\n"
    shell.close()


def test_a_session_left_open_with_a_running_program_is_taken_over(simple: FakeGuest) -> None:
    first = shell_of(simple)
    first.login(Deadline.after(30))
    first.close()
    simple.type(b"cat\nhello\n")
    second = shell_of(simple)
    assert second.run(["echo", "mine"], deadline=Deadline.after(40)).stdout == "mine\n"
    second.close()


def test_a_cut_connection_in_mid_command_does_not_lose_the_result(simple: FakeGuest) -> None:
    shell = shell_of(simple)
    shell.login(Deadline.after(30))
    before = simple.connections
    threading.Timer(0.5, simple.cut).start()
    result = shell.run(["sh", "-c", "sleep 1.5; echo after; exit 5"], deadline=Deadline.after(40))
    assert (result.exit_code, result.stdout) == (5, "after\n")
    assert simple.connections == before + 1
    shell.close()


def test_a_refused_console_is_tried_until_it_is_there(simple: FakeGuest) -> None:
    simple.refuse_next = 2
    shell = shell_of(simple)
    assert shell.run(["echo", "in"], deadline=Deadline.after(30)).stdout == "in\n"
    shell.close()


def test_a_console_refused_to_the_end_says_so(simple: FakeGuest) -> None:
    simple.refuse_next = 1000
    with pytest.raises(GuestUnreachable, match="VMI is not running"):
        shell_of(simple).login(Deadline.after(1.5))


def test_a_wrong_password_is_told_as_such(simple: FakeGuest) -> None:
    shell = shell_of(simple, password="wrong")
    with pytest.raises(GuestUnreachable, match="logins were refused") as caught:
        shell.login(Deadline.after(4))
    assert "cloud-init" in caught.value.advice
    shell.close()


def test_a_command_that_does_not_end_is_interrupted_and_the_shell_stays_good(guest: FakeGuest) -> None:
    shell = shell_of(guest)
    shell.login(Deadline.after(30))
    with pytest.raises(EnvironmentTimeout, match="so far"):
        shell.run(["sh", "-c", "echo so far; sleep 60"], deadline=Deadline.after(2))
    assert shell.run(["echo", "next"], deadline=Deadline.after(30)).stdout == "next\n"
    shell.close()


def test_a_reboot_in_mid_command_is_inconclusive_and_the_next_command_logs_in_again(
    simple: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.guest.console._SILENCE_S", 1.0)
    shell = shell_of(simple)
    shell.login(Deadline.after(30))
    threading.Timer(0.5, simple.reboot).start()
    with pytest.raises(Inconclusive, match="login session ended"):
        shell.run(["sleep", "30"], deadline=Deadline.after(20))
    assert shell.run(["echo", "again"], deadline=Deadline.after(30)).stdout == "again\n"
    shell.close()


def test_every_byte_goes_to_the_log(simple: FakeGuest) -> None:
    log = bytearray()
    shell = shell_of(simple, on_output=log.extend)
    shell.run(["echo", "x"], deadline=Deadline.after(30))
    assert b"login: " in log
    shell.close()
