"""Ending a lab: by its name alone, and completely.

The supervisor is PID 1 of the lab's namespaces, so ending it ends everything.  Its PID is trusted only
while the lab's lock is held, since a PID may have been given to another process meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal

from lab.embedded.errors import StateError
from lab.embedded.lifecycle.layout import Layout, existing

GRACE_SECONDS = 5.0


def down(layout: Layout, *, purge: bool = False) -> bool:
    """End the lab and return whether there was one running. Raises StateError for an unknown name."""
    if not layout.lock.exists():
        known = ", ".join(lab.name for lab in existing()) or "none"
        raise StateError(
            f"wanted a lab named {layout.name!r}", f"there is none; known: {known}", advice="virtlab status"
        )
    was_up = layout.is_up()
    if was_up:
        _end(layout)
    layout.facts.unlink(missing_ok=True)
    layout.nodes.unlink(missing_ok=True)
    layout.kubeconfig.unlink(missing_ok=True)
    layout.restricted.unlink(missing_ok=True)
    if purge:
        shutil.rmtree(layout.root)
    return was_up


def _end(layout: Layout) -> None:
    facts = layout.read_facts()
    pid = facts.get("keeper")
    if not isinstance(pid, int):
        raise StateError(f"wanted to end the lab {layout.name!r}", "it is only just coming up",
                         advice="press Ctrl-C where `up` runs, or try again when it is up")  # fmt: skip
    try:
        keeper = os.pidfd_open(pid)
    except ProcessLookupError:
        keeper = None
    if keeper is not None:
        # unshare --kill-child: ending the keeper makes the kernel end PID 1 and so all of the lab.
        signal.pidfd_send_signal(keeper, signal.SIGKILL)
        select.select([keeper], [], [], GRACE_SECONDS)
        os.close(keeper)
    _wait_unlocked(layout)


def _wait_unlocked(layout: Layout) -> None:
    """Return when the last process of the lab is gone: then the kernel has let go of the lock."""
    fd = os.open(layout.lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)
