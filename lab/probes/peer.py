"""Our end of a session that must live on: a record each interval, with number and time, and when everything came.

The stream is a socket or a channel of an SSH connection. That it breaks is an observation, not an error: why and when
is kept, and told at the end.
"""

from __future__ import annotations

import threading
from typing import Protocol

import paramiko

from lab.core import clock
from lab.core.deadline import Deadline

_TICK_S = 0.2
_LONGEST_LINE = 4096
_JOIN_S = 5.0


class Stream(Protocol):
    """What a record travels over."""

    def sendall(self, data: bytes, /) -> object: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, seconds: float, /) -> None: ...


class Peer:
    """Begun by start(), ended by stop(). `arrivals` are (time, line) as they came; `sent` counts our own records."""

    def __init__(self, stream: Stream, interval_ms: float) -> None:
        self._stream = stream
        self._interval_s = interval_ms / 1000
        self._over = threading.Event()
        self._first = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._write, self._read)]
        self.arrivals: list[tuple[float, str]] = []
        self.sent = 0
        self.began = self.ended = 0.0
        self.broke = ""
        self.broke_at = 0.0

    def start(self, deadline: Deadline) -> bool:
        """Whether a first line came by then."""
        self._stream.settimeout(_TICK_S)
        self.began = clock.now()
        for thread in self._threads:
            thread.start()
        while not deadline.expired and not self.broke:
            if self._first.wait(min(_TICK_S, deadline.remaining())):
                return True
        return False

    def wait_line(self, deadline: Deadline) -> bool:
        """Whether a further line comes by then: call it before stop(), so that a late recovery is measured."""
        self._first.clear()
        while not deadline.expired and not self.broke:
            if self._first.wait(min(_TICK_S, deadline.remaining())):
                return True
        return False

    def stop(self) -> None:
        """No more is sent or read; the stream itself is for its owner to close."""
        self.ended = clock.now()
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_S)

    def _write(self) -> None:
        due = clock.now()
        while not self._over.is_set():
            record = f"{self.sent} {clock.now():.6f}\n".encode()
            try:
                self._stream.sendall(record)
            except TimeoutError:
                # Of a socket whose peer is silent for long: a part may have gone, so this record cannot be sent again.
                self._break("nothing could be sent any more: the other side takes nothing")
                return
            except (OSError, EOFError, paramiko.SSHException) as error:
                self._break(f"sending failed: {error or type(error).__name__}")
                return
            self.sent += 1
            due = max(due + self._interval_s, clock.now() - self._interval_s)
            self._over.wait(max(0.0, due - clock.now()))

    def _read(self) -> None:
        rest = b""
        while not self._over.is_set():
            try:
                data = self._stream.recv(65536)
            except TimeoutError:
                continue
            except (OSError, EOFError, paramiko.SSHException) as error:
                self._break(f"reading failed: {error or type(error).__name__}")
                return
            if not data:
                self._break("the other side closed it")
                return
            at = clock.now()
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            self.arrivals += [(at, line.decode("utf-8", "replace").strip()) for line in lines]
            if lines:
                self._first.set()

    def _break(self, why: str) -> None:
        if not self._over.is_set() and not self.broke:
            self.broke, self.broke_at = why, clock.now()
