"""What a fault has a guest's agent do: over a socket on which earlier clients' answers may still come."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lab.embedded.faults.guest import AGENT

STRAY = {"error": {"class": "GenericError", "desc": "JSON parse error, stray '\ufffd'"}}


def agent(listening: socket.socket, first: bytes, *, ends: bool = False) -> None:
    """A guest's agent, which says *first* before it answers its client (or never does)."""
    connection, _peer = listening.accept()
    with connection, connection.makefile("rb") as lines:
        connection.sendall(first)
        for line in lines:
            if ends:
                return
            asked = json.loads(line.lstrip(b"\xff"))
            given = asked["arguments"]
            answers: dict[str, Any] = {
                "guest-sync-delimited": given.get("id"),
                "guest-exec": {"pid": 7},
                "guest-exec-status": {"exited": True, "exitcode": 3, "out-data": base64.b64encode(b"done").decode()},
            }
            if line.startswith(b"\xff"):
                connection.sendall(json.dumps(STRAY).encode() + b"\n\xff")
            connection.sendall(json.dumps({"return": answers[asked["execute"]]}).encode() + b"\n")


def said(tmp_path: Path, first: bytes, *, ends: bool = False) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        playing = threading.Thread(target=agent, args=(listening, first), kwargs={"ends": ends})
        playing.start()
        argv = [sys.executable, "-I", "-c", AGENT, str(path), "true"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        playing.join()
    return done


def test_what_an_earlier_client_asked_is_answered_first_and_not_taken_for_ones_own(tmp_path: Path) -> None:
    """An agent that was absent reads in one go what several clients wrote meanwhile."""
    done = said(tmp_path, b'\xff{"return": 7731}\n' + json.dumps(STRAY).encode() + b"\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "done", "")


def test_an_agent_that_goes_away_is_no_wait_for_ever(tmp_path: Path) -> None:
    done = said(tmp_path, b'{"return": ', ends=True)
    assert done.returncode == 1
    assert "the connection ended before the agent answered" in done.stderr
