"""Word from the kernel that a bridge of this namespace, or a port of one, came, changed or went.

It only says that something happened, never what: whoever is woken looks at the present.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

RTMGRP_LINK = 1
MESSAGE_BYTES = 65536
# IFLA_INFO_KIND of a bridge, IFLA_INFO_SLAVE_KIND of its ports. Other links come and go all the time.
ABOUT_BRIDGES = b"bridge"


class BridgeWatch:
    """Listens from its making on; `close` when done. Must be made in the running event loop."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK))
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    async def changed(self, timeout: float) -> None:
        """Return at the first change since the last call, or after ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        self._changed.clear()

    def _read(self) -> None:
        try:
            while data := self._socket.recv(MESSAGE_BYTES):
                if ABOUT_BRIDGES in data:
                    self._changed.set()
        except BlockingIOError:
            return
        except OSError as error:
            # The kernel had more to say than was read in time: something changed, then.
            if error.errno != errno.ENOBUFS:
                raise
            self._changed.set()
