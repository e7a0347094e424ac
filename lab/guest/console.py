"""A shell over the serial console: the way that works when a guest has no network at all.

The console is one shared line: a newer client evicts us, a migration cuts us, a reboot throws us back to the login. So
results are kept in the guest and fetched (see `marker`), and a lost connection is opened again.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from lab.access.errors import ApiError, BadRequest, Conflict, NotFound, ServerError
from lab.access.stream import ConsoleClosed
from lab.core import clock, trace
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, GuestUnreachable, Inconclusive
from lab.core.result import MOST_OUTPUT, CommandResult
from lab.core.wait import Periodic
from lab.guest.login import IDLE_S, Login, answers
from lab.guest.marker import (
    SETUP,
    Damaged,
    Delivery,
    Interrupted,
    NeverStarted,
    fetch_line,
    find_result,
    new_mark,
    plain,
    script_lines,
)

_SILENCE_S = 8.0
_ACK_S = 15.0
_AFTER_STOP_S = 5.0
_REOPEN_S = 0.5
_NOW_S = 0.001
_PIECES = 1000
_KEPT = 1 << 16
_MOST = 3 * MOST_OUTPUT
"""Bytes kept while a result is waited for: a largest one, written in base64 or hex. A guest may print without end."""
_PAYLOAD = re.compile(rb"[A-Za-z0-9+/=\s]+")


class Stream(Protocol):
    """An open console. Raises ConsoleClosed from send and recv when the connection is gone."""

    def send(self, data: bytes) -> None: ...
    def recv(self, seconds: float) -> bytes: ...
    def close(self) -> None: ...


class _SessionLost(Exception):
    """The shell we had is gone: at the other end there is a login prompt, or nothing that answers."""


class ConsoleShell:
    """A logged-in console. `open_stream(deadline)` opens a connection; `on_output` gets every byte (the console log).

    Logs in at the first command. One command at a time.
    """

    def __init__(
        self,
        open_stream: Callable[[Deadline], Stream],
        user: str,
        password: str,
        *,
        name: str,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        self.place = f"guest {name} (console)"
        self._open = open_stream
        self._user = user
        self._password = password
        self._on_output = on_output
        self._stream: Stream | None = None
        self._opened = 0.0
        self._ready = False

    # The three calls of a byte stream, over whatever connection is open now: Login talks to these.

    def send(self, data: bytes) -> None:
        if self._stream is None:
            raise ConsoleClosed("not connected")
        self._stream.send(data)

    def recv(self, seconds: float) -> bytes:
        if self._stream is None:
            raise ConsoleClosed("not connected")
        data = self._stream.recv(seconds)
        if data and self._on_output:
            self._on_output(data)
        return data

    def close(self) -> None:
        """Drops the connection; the login in the guest stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def login(self, deadline: Deadline) -> None:
        """Connects and logs in, over lost connections, until the deadline. Raises GuestUnreachable, ApiDown."""
        while True:
            try:
                if self._connect(deadline):
                    self._ready = False
                if not self._ready:
                    Login(self, self._user, self._password, self.place).reach(deadline, lambda: self._prepare(deadline))
                    self._ready = True
                return
            except (ConsoleClosed, _SessionLost) as error:
                self._lost(deadline, str(error))

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """See Shell.run. Streams come apart and exact, as with SSH; a lost connection does not lose the result."""
        script = shlex.join(argv)
        with trace.span("command", self.place, script, limit=deadline.remaining()):
            self.login(deadline)
            start = time.monotonic()
            try:
                found = self._execute(script, deadline)
            except _SessionLost as error:
                self._ready = False
                raise Inconclusive(
                    f"the exit status of {argv[0]!r}",
                    f"the login session ended meanwhile: {error}",
                    self.place,
                    "did the guest restart? repeat the command",
                ) from error
            return self._result(argv, found, start)

    def ask(
        self, line: str, answer: re.Pattern[str], *, deadline: Deadline, patience: Deadline | None = None
    ) -> tuple[float, re.Match[str], float]:
        """Types one line at the prompt and waits for its answer, no longer than *patience*: when it was asked, the
        match, and when it was answered (harness' clock). `answer` must not match the echo of the line. For questions
        whose time counts: nothing is kept in the guest, so a connection that ends meanwhile loses the answer.

        Raises Inconclusive (the connection ended, and was opened again), GuestUnreachable, EnvironmentTimeout.
        """
        self.login(deadline)
        asked, text, until = clock.now(), "", patience or deadline
        try:
            self.send(line.encode() + b"\n")
            while not until.expired:
                text = (text + plain(self.recv(max(0.001, min(IDLE_S, until.remaining())))))[-_KEPT:]
                if match := answer.search(text):
                    return asked, match, clock.now()
        except ConsoleClosed as error:
            self._reopen(deadline, str(error))
            raise Inconclusive(f"an answer to {line.strip()!r}", str(error), self.place, "ask again") from error
        raise EnvironmentTimeout(self.place, "an answer to a typed line", last=text[-200:], elapsed=until.total)

    def _result(self, argv: Sequence[str], found: Delivery, start: float) -> CommandResult:
        out, err = (data.decode("utf-8", "replace") for data in (found.stdout, found.stderr))
        return CommandResult(tuple(argv), self.place, found.exit_code, out, err, time.monotonic() - start)

    def _connect(self, deadline: Deadline) -> bool:
        """Whether the connection is a new one. A 4xx or 5xx is normal while the guest starts or moves: tried again."""
        fresh = self._stream is None
        while self._stream is None:
            try:
                self._stream = self._open(deadline)
                self._opened = time.monotonic()
            except (BadRequest, Conflict, NotFound, ServerError) as error:
                self._pause(deadline, error)
        return fresh

    def _pause(self, deadline: Deadline, error: ApiError) -> None:
        if deadline.expired:
            raise GuestUnreachable(
                "the serial console", error.found, self.place, "is the VM running, and has it a serial console?"
            ) from error
        trace.note(self.place, f"console not there yet: {error.message}", what="retry")
        Periodic(_REOPEN_S, "a console's coming back is not announced").wait(deadline.remaining())

    def _lost(self, deadline: Deadline, why: str) -> None:
        self.close()
        if deadline.expired:
            raise GuestUnreachable(
                "a console that stays connected",
                why,
                self.place,
                "another client (virtctl console) may hold it: each new one evicts the one before",
            )
        trace.note(self.place, f"console lost, opening again: {why}", what="retry")
        # At once when it had stayed (a migration); two clients that evict each other must not do so in a hot loop.
        if time.monotonic() - self._opened < _REOPEN_S:
            Periodic(_REOPEN_S, "a console's coming back is not announced").wait(deadline.remaining())

    def _prepare(self, deadline: Deadline) -> bool:
        """Defines our functions in the shell just reached; False when it is another user's."""
        for line in SETUP:
            self._type(line, deadline)
        found = self._execute("id -un", deadline)
        return found.stdout.decode("utf-8", "replace").strip() == self._user

    def _type(self, line: str, deadline: Deadline) -> None:
        """Types a line and waits until the shell is back: what is typed ahead may overflow a tty's buffer."""
        mark = new_mark()
        self.send(f"{line}\n echo '{mark[:5]}''{mark[5:]}'\n".encode())
        data = b""
        until = deadline.sub(_ACK_S)
        while mark not in plain(data):
            if until.expired:
                raise _SessionLost(f"no answer to a typed line; the console ends with {plain(data)[-200:]!r}")
            data = (data + self.recv(max(0.001, min(IDLE_S, until.remaining()))))[-_KEPT:]

    def _execute(self, script: str, deadline: Deadline) -> Delivery:
        """Types the command until it has begun once: a connection that is about to end takes lines with it."""
        self._look_alive(deadline)
        while True:
            mark = new_mark()
            try:
                self.send("".join(f"{line}\n" for line in script_lines(mark, script)).encode())
            except ConsoleClosed as error:
                self._reopen(deadline, str(error))
                self._ask_again(mark)
            try:
                return self._collect(mark, script, deadline)
            except NeverStarted as error:
                trace.note(self.place, f"the command line was lost, typing it again: {error}", what="retry")

    def _look_alive(self, deadline: Deadline) -> None:
        """What ended while nobody looked is opened again before anything is typed: nothing can have got lost then."""
        try:
            # Not for ever: a guest may print without end.
            for _ in range(_PIECES):
                if not self.recv(_NOW_S):
                    return
        except ConsoleClosed as error:
            self._reopen(deadline, str(error))

    def _collect(self, mark: str, script: str, deadline: Deadline) -> Delivery:
        """Waits for the result; asks for it again after damage, after a lost connection and after long silence."""
        data, wanted = bytearray(), mark.encode()
        patience = Deadline.after(_SILENCE_S)
        asked = 0
        while not deadline.expired:
            try:
                piece = self.recv(max(0.001, min(IDLE_S, deadline.remaining())))
                data += piece
                if len(data) > _MOST:
                    del data[: -_MOST // 2]
                if b":" in piece and wanted in data and (found := self._look(mark, data)):
                    return found
                if piece and _PAYLOAD.fullmatch(piece):
                    patience = Deadline.after(_SILENCE_S * min(4, 1 + asked))
                if not patience.expired:
                    continue
                self._check_session(data)
                if asked >= 2 and not data:
                    # Opened while the guest moved, a connection may hang on the side that it left.
                    raise ConsoleClosed("nothing comes over this connection, not even an echo")
                self.send(fetch_line(mark).encode() + b"\n")
            except ConsoleClosed as error:
                self._reopen(deadline, str(error))
                self._ask_again(mark)
                data.clear()
            asked += 1
            patience = Deadline.after(_SILENCE_S * min(4, 1 + asked))
        raise self._overdue(mark, script, deadline)

    def _look(self, mark: str, data: bytearray) -> Delivery | None:
        try:
            return find_result(mark, plain(bytes(data)))
        except Interrupted as error:
            raise _SessionLost(str(error)) from error
        except Damaged as damage:
            trace.note(self.place, f"output was damaged on the line, fetching it again: {damage}", what="retry")
            self.send(fetch_line(mark).encode() + b"\n")
            data.clear()
            return None

    def _ask_again(self, mark: str) -> None:
        """On a new connection: half a line may have arrived over the old one, so that is wiped first."""
        with suppress(ConsoleClosed):
            self.send(b"\x15\n" + fetch_line(mark).encode() + b"\n")

    def _check_session(self, data: bytearray) -> None:
        """After a restart a login prompt swallows what we type."""
        tail = plain(bytes(data[-4096:])).rstrip("\r\n")[-200:]
        if tail.endswith(("login:", "login: ", "Password:", "Password: ")):
            raise _SessionLost(f"the console shows {tail[-60:]!r}")

    def _reopen(self, deadline: Deadline, why: str) -> None:
        """The session in the guest survives a lost connection (a tty does not hang up)."""
        self._lost(deadline, why)
        self._connect(deadline)

    def _overdue(self, mark: str, script: str, deadline: Deadline) -> EnvironmentTimeout:
        """Interrupts what still runs, so that the next command finds a shell, and says what it printed so far."""
        so_far = ""
        grace = Deadline.after(_AFTER_STOP_S)
        with suppress(ConsoleClosed):
            self.send(b"\x03")
            if answers(self, grace):
                self.send(f' cat "$VLD/o" "$VLD/e" | tail -c 1000; echo {mark[:3]}\'\'{mark[3:]}\n'.encode())
                data = b""
                while not grace.expired and mark not in plain(data):
                    data = (data + self.recv(IDLE_S))[-_KEPT:]
                so_far = plain(data).partition(mark)[0].partition("\n")[2]
            else:
                self._ready = False
        return EnvironmentTimeout(
            f"{script[:80]} on {self.place}",
            "the command to end",
            last=f"still running; output so far: {so_far!r}",
            elapsed=deadline.total,
            advice="a longer deadline, or a command that ends by itself",
        )
