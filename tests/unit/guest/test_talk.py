"""Short questions over a console, SSH and an outside host: answers are timed, and an end of the other side is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
from fakeguest import FakeGuest
from sshserver import SshServer
from test_guest_console import SHELLS, shell_of
from test_guest_ssh import authorized, shell_to

from lab.core import clock
from lab.core.deadline import Deadline
from lab.core.errors import EndlessOutput, EnvironmentTimeout, Inconclusive
from lab.guest.outside import OutsideShell
from lab.guest.talk import LOST_S, Talk, TalkOver, talk
from lab.target.inventory import OutsideHost

SNIPPET = 'read -r vlu vli </proc/uptime; echo "${EPOCHREALTIME:-$(date +%s.%N)} $vlu"'
HERE = OutsideShell(OutsideHost("here", ("env",), ()))


@pytest.fixture(params=[name for name, argv in SHELLS.items() if shutil.which(argv[0])])
def guest(request: pytest.FixtureRequest) -> Iterator[FakeGuest]:
    with FakeGuest(SHELLS[request.param]) as running:
        yield running


def asked_twice(talking: Talk) -> None:
    for _ in range(2):
        answer = talking.ask(Deadline.after(10))
        assert answer.asked <= float(answer.text.split()[0]) <= answer.answered + 0.001
    talking.close()


def test_a_console_answers_with_its_time(guest: FakeGuest) -> None:
    asked_twice(talk(shell_of(guest), SNIPPET, deadline=Deadline.after(30)))


def test_a_question_that_lost_its_end_on_a_console_is_soon_asked_again(guest: FakeGuest) -> None:
    """What is left of it stands before the next one, on the same line."""
    talking = talk(shell_of(guest), SNIPPET, deadline=Deadline.after(30))
    guest.swallow = [b"\n"]
    began = clock.now()
    answer = talking.ask(Deadline.after(10))
    assert not guest.swallow
    assert began + LOST_S < answer.asked <= float(answer.text.split()[0]) <= answer.answered + 0.001 < began + 5
    talking.close()


def test_a_session_over_ssh_answers_with_its_time_and_its_end_is_said() -> None:
    with SshServer(authorized()) as server:
        shell = shell_to(server)
        asked_twice(talk(shell, SNIPPET, deadline=Deadline.after(10)))
        talking = talk(shell, SNIPPET, deadline=Deadline.after(10))
        shell.close()
        with pytest.raises(TalkOver, match=r"lost|closed"):
            talking.ask(Deadline.after(5))


def test_an_outside_host_answers_with_its_time_and_its_end_is_said() -> None:
    asked_twice(talk(HERE, SNIPPET, deadline=Deadline.after(10)))
    talking = talk(HERE, "echo gone >&2; exit 3", deadline=Deadline.after(10))
    with pytest.raises(TalkOver, match="gone"):
        talking.ask(Deadline.after(5))
    talking.close()


def test_a_question_after_the_end_is_told_as_such_and_closing_is_quiet() -> None:
    talking = talk(HERE, "exit", deadline=Deadline.after(10))
    with pytest.raises(TalkOver):
        talking.ask(Deadline.after(5))
    with pytest.raises(TalkOver):
        talking.ask(Deadline.after(5))
    talking.close()


def test_a_place_that_does_not_answer_is_a_time_out() -> None:
    talking = talk(HERE, "sleep 5", deadline=Deadline.after(10))
    began = time.monotonic()
    with pytest.raises(EnvironmentTimeout, match="outside host here"):
        talking.ask(Deadline.after(0.3))
    assert time.monotonic() - began < 2
    talking.close()


def test_any_other_shell_answers_by_a_command_for_each_question() -> None:
    class Pod:
        place = "the pod"
        run = HERE.run
        close = HERE.close

    talking = talk(Pod(), SNIPPET, deadline=Deadline.after(10))
    asked_twice(talking)
    with pytest.raises(Inconclusive, match="exit status 4"):
        talk(Pod(), "exit 4", deadline=Deadline.after(10)).ask(Deadline.after(5))


def test_a_console_question_without_answer_is_a_time_out() -> None:
    with FakeGuest(SHELLS["sh"]) as guest:
        shell = shell_of(guest)
        talking = talk(shell, "echo once", deadline=Deadline.after(30))
        shell.run(["true"], deadline=Deadline.after(20))
        shell.send(b" vlt(){ :; }\n")
        with pytest.raises(EnvironmentTimeout, match="console"):
            talking.ask(Deadline.after(1))


def test_the_harness_clock_runs_with_the_wall_clock() -> None:
    assert abs(clock.now() - time.time()) < 0.05
    assert abs(clock.moved_ms()) < 50
    assert clock.stamp(0.0125).startswith("1970-01-01T00:00:00.01")


def test_an_outside_host_whose_line_does_not_end_is_given_up() -> None:
    talking = talk(HERE, "tr '\\0' x </dev/zero", deadline=Deadline.after(10))
    with pytest.raises(EndlessOutput, match=r"more than 64 KiB of it; the last: .*xxx"):
        talking.ask(Deadline.after(20))
    talking.close()


def test_an_outside_host_whose_command_prints_without_end_is_given_up_and_the_command_is_named() -> None:
    with pytest.raises(EndlessOutput) as caught:
        HERE.run(["sh", "-c", "yes"], deadline=Deadline.after(30))
    assert "the output of 'sh' to end" in str(caught.value)
    assert "where: outside host here" in str(caught.value)
