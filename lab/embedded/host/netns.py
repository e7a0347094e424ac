"""Network namespaces by name, and code run inside one.

A named namespace is a bind mount under ``/run/netns`` of the mount namespace it was made in, exactly as
``ip netns`` does it, so that ``ip -n NAME`` works for a person who looks.  It must not know what a
namespace is for.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.embedded.host.command import run

T = TypeVar("T")
RUN_NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> str:
    """Where the namespace called ``name`` is found in this mount namespace."""
    return str(RUN_NETNS / name)


async def create(name: str) -> str:
    """Make a namespace with its loopback up and return its path."""
    await run(["ip", "netns", "add", name])
    await run(["ip", "-n", name, "link", "set", "lo", "up"])
    return path(name)


async def delete(name: str) -> None:
    """Remove a namespace; one that is already gone is no error."""
    if (RUN_NETNS / name).exists():
        await run(["ip", "netns", "del", name])


def setns(netns: str) -> None:
    """Move the calling thread into the network namespace at ``netns``. Raises OSError."""
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns {netns}: {os.strerror(number)}")
    finally:
        os.close(fd)


async def call_in(netns: str, function: Callable[[], T]) -> T:
    """Run ``function`` in a thread of its own inside ``netns``; a socket it makes stays there."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        # A thread that changed its namespace must end: a pool would hand it to somebody else.
        try:
            setns(netns)
            result = function()
        except BaseException as error:
            loop.call_soon_threadsafe(finish, None, error)
        else:
            loop.call_soon_threadsafe(finish, result, None)

    threading.Thread(target=body, name=f"in {netns}", daemon=True).start()
    return await future
