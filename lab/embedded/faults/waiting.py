"""Waiting for what a signal does to a process: shared by faults that send one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

STEP_S = 0.05


async def comes_true(look: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> bool:
    """Whether *look* says so within that time; it is asked at least twice."""
    end = asyncio.get_running_loop().time() + seconds
    while not await look():
        if asyncio.get_running_loop().time() > end:
            return await look()
        # Another process' doings are announced nowhere.
        await asyncio.sleep(STEP_S)
    return True
