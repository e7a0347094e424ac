"""Many connections at once: the script run for real with an nc of the test, and its lines read in three values."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, ProbeNotStarted
from lab.core.result import CommandResult
from lab.probes.connections import ConnectionsObservation, connections, connections_command, read_connections
from lab.probes.observation import Outcome

NC = """#!/bin/sh
# nc -w WAIT -p PORT HOST PORT: what it does follows from the last digit of the source port.
case $4 in
*0) echo "SSH-2.0-dropbear"; exit 0 ;;
*1) echo "nc: can't connect to remote host (10.128.0.4): Connection refused" >&2; exit 1 ;;
*2) echo "nc: can't connect to remote host (10.128.0.4): No route to host" >&2; exit 1 ;;
*3) echo "nc: timed out" >&2; exit 1 ;;
*4) sleep 2.8; exit 1 ;;
*5) exit 1 ;;
*6) echo "nc: bind: Address in use *" >&2; exit 1 ;;
esac
"""
IP = """#!/bin/sh
[ "$2" = flush ] && exit 2
echo "10.128.0.4 dev eth0 lladdr 0A:58:0a:80:00:04 REACHABLE"
"""


class Place:
    """A shell on this machine whose nc and ip are the test's."""

    place = "the resident pod on worker-1"

    def __init__(self, folder: Path, **programs: str) -> None:
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        done = subprocess.run(
            argv, env={"PATH": self.path}, capture_output=True, text=True, timeout=deadline.remaining(), check=False
        )
        return CommandResult(tuple(argv), self.place, done.returncode, done.stdout, done.stderr, 0.1)

    def close(self) -> None: ...


def look(place: Place, first: int, count: int) -> ConnectionsObservation:
    return connections(place, "10.128.0.4", 22, first=first, count=count, deadline=Deadline.after(20))


def test_what_becomes_of_each_connection(tmp_path: Path) -> None:
    seen = look(Place(tmp_path, nc=NC, ip=IP), 20_000, 7)
    assert seen.alive == (20_000, 20_001), "a refusal is an answer"
    assert seen.dead == (20_002, 20_003, 20_004), "an nc that says nothing and took its time was not answered"
    assert seen.unclear == (20_005, 20_006)
    assert (seen.total, seen.outcome) == (5, Outcome.NOT_REACHED)
    assert seen.neighbour == "0a:58:0a:80:00:04"
    assert "2 of 7 connections answered, dead from source port 20002, 20003, 20004" in str(seen)
    assert "nothing known of source port 20005, 20006" in seen.detail


def test_all_answered_is_reached_and_nothing_known_is_inconclusive(tmp_path: Path) -> None:
    place = Place(tmp_path, nc=NC, ip="#!/bin/sh\nexit 1\n")
    assert look(place, 20_010, 2).reached
    assert look(place, 20_010, 2).neighbour == ""
    assert look(place, 20_015, 2).inconclusive


def test_a_place_without_nc_is_said(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    place = Place(tmp_path)
    place.path = str(tmp_path)
    with pytest.raises(ProbeNotStarted, match="wanted: nc to run"):
        look(place, 20_000, 1)


def test_lines_that_were_lost_are_not_taken_for_silence() -> None:
    out = "flow 20000 0 10.00 10.01\nflow 20001 1 10.00 13.01 nc: timed ou"
    result = CommandResult(("sh",), "p", 0, out, "", 3.0)
    seen = read_connections(result, "p", "10.128.0.4", 22, range(20_000, 20_003))
    assert (seen.alive, seen.dead, seen.unclear) == ((20_000,), (), (20_001, 20_002))


def test_a_place_that_does_not_come_back_proves_nothing() -> None:
    class Stuck(Place):
        def __init__(self) -> None: ...

        def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
            raise EnvironmentTimeout("a command", "its end", last="running", elapsed=60.0)

    seen = look(Stuck(), 20_000, 2)
    assert seen.inconclusive
    assert seen.unclear == (20_000, 20_001)
    assert "within 60 s" in seen.detail


def test_the_command_names_its_source_ports() -> None:
    argv = connections_command("10.128.0.4", 22, first=20_016)
    assert argv[:2] == ["sh", "-c"]
    assert argv[3:] == ["sh", "10.128.0.4", "22", "3", "20016", "16"]
