"""A lab's processes from outside: which to kill besides a run, what they hold, and whether anything is left of them.

Processes are found from the lab's own files and the kernel's, as an administrator with a list of processes would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from tests.conftest import RunningLab

GONE_S = 20.0
KINDS = ("supervisor", "node", "qemu")


def folder(lab: RunningLab) -> Path:
    """Where the lab's files are."""
    return Path(lab.env["XDG_STATE_HOME"], "virtlab", "labs", lab.env["VIRTLAB_NAME"])


def facts(lab: RunningLab) -> dict[str, Any]:
    """What `up` found out."""
    found: dict[str, Any] = json.loads((folder(lab) / "lab.json").read_text())
    return found


def descendants(pid: int) -> list[int]:
    """A process and all below it; those that end meanwhile are left out."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        try:
            below = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        found.append(current)
        todo += [int(child) for child in below]
    return found


def _inside(pid: int) -> int:
    """Its number in the lab's PID namespace; 0 when it is gone or not in one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    own = Path("/proc/self/status").read_text()
    depth = len(next(line for line in own.splitlines() if line.startswith("NSpid:")).split()) - 1
    return int(numbers[depth]) if len(numbers) > depth else 0


def name_of(pid: int) -> str:
    """What a process is called; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def find(lab: RunningLab, kind: str, which: int) -> list[int]:
    """The processes of the *which*-th victim of its kind; none where there is none just now."""
    supervisor = int(facts(lab)["pid"])
    everything = descendants(supervisor)
    if kind == "supervisor":
        return [supervisor]
    if kind == "qemu":
        running = [pid for pid in everything if name_of(pid).startswith("qemu")]
        return running[which % len(running) :][:1] if running else []
    inits = sorted(json.loads((folder(lab) / "nodes.json").read_text()).values())
    init = next(pid for pid in everything if _inside(pid) == inits[which % len(inits)])
    return [pid for pid in descendants(init) if pid != init]


def kill(pids: list[int]) -> None:
    """kill -9, whoever is still there."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def left_of(lab: RunningLab, before: list[int], port: int) -> list[str]:
    """What a lab whose supervisor was killed has left, once time was given for it to go."""
    end = time.monotonic() + GONE_S
    while True:
        found = [f"process {pid} ({name_of(pid)})" for pid in before if name_of(pid) and _state(pid) != "Z"]
        with socket.socket() as probe:
            found += [f"port {port} answers"] * (probe.connect_ex(("127.0.0.1", port)) == 0)
        found += [f"mount {line.split()[1]}" for line in _mounts() if str(folder(lab)) in line]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def is_node(lab: RunningLab, pid: int) -> bool:
    """Whether it is the init of a node."""
    return _inside(pid) in json.loads((folder(lab) / "nodes.json").read_text()).values()


def open_files(pid: int) -> int:
    """How many descriptors it has."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def memory(pid: int) -> int:
    """Bytes that it holds, shared pages by its share."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def one_of_each_network(pids: list[int]) -> list[int]:
    """One process for each network namespace."""
    found: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found.setdefault(str(Path(f"/proc/{pid}/ns/net").readlink()), pid)
    return list(found.values())


def listening(pid: int) -> int:
    """TCP ports that are listened on in its network namespace."""
    lines: list[str] = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines += Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    return sum(line.split()[3] == "0A" for line in lines)


def api_server(lab: RunningLab, pids: list[int]) -> int:
    """The one of a lab's processes that is its API server: all of them are forks, but each has its own log."""
    log = str(folder(lab) / "logs" / "apiserver.log")
    for pid in pids:
        with contextlib.suppress(OSError):
            if str(Path(f"/proc/{pid}/fd/2").readlink()) == log:
                return pid
    raise AssertionError(f"no process of the lab writes {log}")
