"""Processes with namespaces of their own, made by fork from an interpreter that has imported everything.

Python starts slowly on a small machine; a node agent forked from the supervisor's image costs
milliseconds and shares its memory.  Forking is safe only while the process has one thread and no event
loop: `enter_node` is called before either exists.  It must not know what a node does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from lab.embedded.host.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, mount

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x04000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def private_run() -> None:
    """Give this mount namespace an empty /run, with room for named network namespaces."""
    mount("tmpfs", "/run")
    Path("/run/netns").mkdir(parents=True, exist_ok=True)


def fork(body: Callable[[], None]) -> int:
    """Fork; the child runs ``body`` and ends, with a status that tells whether it raised."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        body()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def reap_until(main: int, again: Callable[[], int] | None = None) -> None:
    """Be the init of a PID namespace: reap every orphan; when ``main`` ends, start it ``again`` or return."""
    began = time.monotonic()
    while True:
        try:
            pid, _ = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if pid == main:
            if again is None:
                return
            # A body that cannot live must not be started in a hot loop.
            signal.sigtimedwait([], max(0.0, 1.0 - (time.monotonic() - began)))
            began, main = time.monotonic(), again()


def enter_node(hostname: str, ready: int, prepare: Callable[[], None], body: Callable[[], None]) -> None:
    """Become the keeper of a node: new network, mount, UTS and PID namespaces, with an init inside.

    Writes the PID of that init, as the caller's namespace sees it, to the descriptor ``ready``; the init
    calls ``prepare`` once, when /proc and /run are its own, and then runs ``body`` again whenever it ends,
    as a service manager would.  Returns when the init ends.
    """
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET), "unshare")
    init = fork(lambda: _node_init(hostname, prepare, body))
    os.write(ready, f"{init}\n".encode())
    os.close(ready)
    os.waitpid(init, 0)


def _node_init(hostname: str, prepare: Callable[[], None], body: Callable[[], None]) -> None:
    die_with_parent()
    socket.sethostname(hostname)
    mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    private_run()
    prepare()
    reap_until(fork(body), lambda: fork(body))
