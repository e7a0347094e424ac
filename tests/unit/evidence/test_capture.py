"""A capture: what the script leaves of it, and what is said when there is none."""

from __future__ import annotations

import base64
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import OperatorMissing
from lab.evidence.capture import FILTER, MARK, argv, capture, split

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 160, 276)
PACKET = struct.pack("<IIII", 0, 0, 4, 4) + b"\x01\x02\x03\x04"


def run(folder: Path, program: str) -> str:
    """The script with a tcpdump of that content; none when it is empty."""
    if program:
        (folder / "tcpdump").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "tcpdump").chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "TMPDIR": str(folder)}
    if not program:
        # Only what the script itself needs: the machine may have a tcpdump.
        for name in ("sh", "mktemp", "timeout", "head", "sed", "base64", "rm"):
            (folder / name).symlink_to(f"/usr/bin/{name}")
        env["PATH"] = str(folder)
    return subprocess.run(argv(), env=env, capture_output=True, text=True, check=False).stdout


def test_packets_come_back_whole_and_as_text_and_nothing_is_left_on_the_worker(tmp_path: Path) -> None:
    (tmp_path / "packets").write_bytes(HEADER + PACKET)
    said = run(
        tmp_path,
        f'while [ $# -gt 0 ]; do case $1 in -w) cp {tmp_path}/packets "$2"; exit;; -r) echo "x ICMP echo request"; '
        "exit;; esac; shift; done",
    )
    text, pcap = split(said)
    assert text == "x ICMP echo request\n"
    assert pcap == HEADER + PACKET
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("tmp.")] == []


def test_a_capture_that_did_not_come_off_says_why(tmp_path: Path) -> None:
    said = run(tmp_path, "echo \"tcpdump: Couldn't find user 'tcpdump'\" >&2; exit 1")
    assert split(said) == ("# tcpdump: Couldn't find user 'tcpdump'\n", b"")


def test_without_the_program_that_is_what_it_says(tmp_path: Path) -> None:
    text, pcap = split(run(tmp_path, ""))
    assert "tcpdump" in text
    assert "No such file" in text
    assert pcap == b""


def test_a_file_without_a_packet_is_none() -> None:
    assert split(f"words\n{MARK}\n{base64.b64encode(HEADER).decode()}\n") == ("words\n", b"")


def test_a_worker_that_refuses_is_told_and_keeps_no_other_from_its_capture() -> None:
    def answer(node: str, *_: Any, **__: Any) -> SimpleNamespace:
        if node == "w2":
            raise OperatorMissing("a running pod", "none", "here")
        body = base64.b64encode(HEADER + PACKET).decode()
        return SimpleNamespace(stdout=f"x ARP\n{MARK}\n{body}\n", stderr="")

    asked: list[bool] = []
    reader: Any = SimpleNamespace(run=answer)
    found = capture(reader, ["w1", "w2"], lambda: asked.append(True), Deadline.after(20))
    assert found["capture-w1.pcap"] == HEADER + PACKET
    assert found["capture-w1.txt"] == "x ARP\n"
    assert "no capture: " in str(found["capture-w2.txt"])
    assert "capture-w2.pcap" not in found
    assert asked == [True]


@pytest.mark.parametrize("link_type", ["LINUX_SLL2", "LINUX_SLL"])
def test_tcpdump_takes_the_filter_for_either_sort_of_header(link_type: str, tmp_path: Path) -> None:
    number = {"LINUX_SLL2": 276, "LINUX_SLL": 113}[link_type]
    path = tmp_path / "empty.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 160, number))
    done = subprocess.run(
        ["tcpdump", "-Z", "root", "-d", "-r", str(path), FILTER], capture_output=True, text=True, check=False
    )
    assert "ret" in done.stdout, done.stderr
