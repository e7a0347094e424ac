"""Getting from a fresh console connection to a shell of the wanted user, whatever the guest shows meanwhile.

A console shows boot messages, kernel noise over a prompt, a login prompt, a password prompt that somebody left, a shell
that somebody left, or nothing until asked. What looks like a shell is believed only when it answers a mark.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import GuestUnreachable
from lab.guest.marker import new_mark, plain, probe_line

IDLE_S = 0.15
_QUIET_S = 0.06
"""A prompt is what a console ends with; longer than between two pieces of one line, also from an emulated machine."""
_PROBE_S = 4.0
_NUDGES_S = (0.6, 1.0, 1.5, 3.0, 5.0)
_KEEP = 65536
_LOGIN = re.compile(r"(?:^|[\s-])login: ?$")
_PASSWORD = re.compile(r"[Pp]assword(?: for [\w.-]+)?: ?$")
_SHELL = re.compile(r"[#$%>] ?$")
_REFUSED = re.compile(r"[Ll]ogin incorrect|[Aa]uthentication failure")


class ByteStream(Protocol):
    """What a console is made of. `recv` answers b"" when nothing came within so many seconds."""

    def send(self, data: bytes) -> None: ...
    def recv(self, seconds: float) -> bytes: ...


def read_until_quiet(stream: ByteStream, quiet_s: float, deadline: Deadline) -> bytes:
    """What comes until nothing came for `quiet_s`, or the deadline; long output keeps its last 64 KiB."""
    data = b""
    while not deadline.expired:
        piece = stream.recv(min(quiet_s, max(0.001, deadline.remaining())))
        if not piece:
            break
        data = (data + piece)[-_KEEP:]
    return data


def answers(stream: ByteStream, deadline: Deadline) -> bool:
    """Whether a shell is at the other end: it prints a mark that an echo would not."""
    mark = new_mark()
    stream.send(probe_line(mark).encode() + b"\n")
    data = b""
    until = deadline.sub(_PROBE_S)
    while not until.expired:
        data = (data + stream.recv(max(0.001, min(IDLE_S, until.remaining()))))[-_KEEP:]
        if mark in plain(data):
            read_until_quiet(stream, _QUIET_S / 2, until)
            return True
    return False


def last_line(text: str) -> str:
    """What stands after the last line end; a bare carriage return begins the line anew."""
    return text.replace("\r\n", "\n").rpartition("\n")[2].rpartition("\r")[2]


class Login:
    """One attempt to reach a shell; `reach` does it."""

    def __init__(self, stream: ByteStream, user: str, password: str, where: str) -> None:
        self._stream = stream
        self._user = user
        self._password = password
        self._where = where
        self._named = False
        self._nudges = 0
        self._heard = False
        self.refusals = 0
        self.tail = ""

    def reach(self, deadline: Deadline, is_right_user: Callable[[], bool]) -> None:
        """Returns at a shell for which `is_right_user` holds (another user's is left with `exit`).

        Raises GuestUnreachable with the last thing seen; ConsoleClosed goes through.
        """
        seen = b""
        self._stream.send(b"\n")
        quiet_since = time.monotonic()
        with trace.span("login", self._where, f"as {self._user}", limit=deadline.remaining()) as span:
            while not deadline.expired:
                piece = read_until_quiet(self._stream, _QUIET_S, deadline)
                if piece:
                    self._heard = True
                    quiet_since = time.monotonic()
                seen = (seen + piece)[-_KEEP:]
                text = plain(seen)
                self.tail = (self.tail + plain(piece))[-400:]
                span.observed(last_line(text)[-80:])
                handled = self._react(text, deadline, is_right_user) if piece else None
                if handled is True:
                    return
                if handled is False:
                    seen = b""
                elif time.monotonic() - quiet_since > _NUDGES_S[min(self._nudges, len(_NUDGES_S) - 1)]:
                    self._nudge()
                    quiet_since = time.monotonic()
            raise self._failed()

    def _react(self, text: str, deadline: Deadline, is_right_user: Callable[[], bool]) -> bool | None:
        """True: there. False: answered, look anew. None: nothing known in sight."""
        tail = last_line(text)
        if _REFUSED.search(text) and self._named:
            self.refusals += 1
            self._named = False
        if _LOGIN.search(tail):
            self._named = True
            self._stream.send(self._user.encode() + b"\n")
            return False
        if _PASSWORD.search(tail):
            # A password prompt that is not ours belongs to a login somebody left: an empty one ends it.
            self._stream.send((self._password.encode() if self._named else b"") + b"\n")
            return False
        if _SHELL.search(tail) and answers(self._stream, deadline):
            if is_right_user():
                return True
            self._stream.send(b"exit\n")
            return False
        return None

    def _nudge(self) -> None:
        """Noise may have covered a prompt: a newline brings it again; a left program or a half-typed line needs ^C.

        Not before the guest said anything: a ^C into a silent boot would wait there for whatever opens the line first.
        """
        self._nudges += 1
        self._named = False
        self._stream.send(b"\x03" if self._nudges % 3 == 0 and self._heard else b"\n")

    def _failed(self) -> GuestUnreachable:
        if self.refusals:
            found = f"{self.refusals} logins were refused; the console ends with {self.tail[-200:]!r}"
            advice = "do user and password of the target's image match the VM's cloud-init? has cloud-init run?"
        elif self.tail.strip():
            found, advice = f"the console ends with {self.tail[-200:]!r}", "is the guest still booting, or stuck?"
        else:
            found = "the console says nothing, also when asked"
            advice = "has the guest a getty on its serial port (console=ttyS0)?"
        return GuestUnreachable(f"a shell of user {self._user!r}", found, self._where, advice)
