"""A shell over SSH: paramiko over any stream (port-forward, direct, through an outside host), with the run's key.

A lost connection is opened again for the next command; one lost in mid-command leaves its exit status unknown, and that
is said (Inconclusive), not guessed.
"""

from __future__ import annotations

import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import paramiko

from lab.core import process, trace
from lab.core.deadline import Deadline
from lab.core.errors import EndlessOutput, EnvironmentTimeout, GuestUnreachable, Inconclusive
from lab.core.result import MOST_OUTPUT, CommandResult
from lab.guest.keys import HostKeys, RunKey

_HANDSHAKE_S = 20.0
_KEEPALIVE_S = 5
_TICK_S = 0.25


class Link(Protocol):
    """A stream to a guest's SSH port: a socket, whatever feeds it, and why it ended ("" unknown)."""

    sock: socket.socket

    def close(self) -> None: ...


class DirectLink:
    """A plain TCP connection from here."""

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        self.sock = socket.create_connection((host, port), timeout=max(0.1, min(_HANDSHAKE_S, deadline.remaining())))

    def close(self) -> None:
        self.sock.close()


class CommandLink:
    """A command whose stdin and stdout are the stream, as ssh's ProxyCommand. {host} and {port} are filled in."""

    def __init__(self, argv: Sequence[str], host: str, port: int) -> None:
        self.argv = [word.replace("{host}", host).replace("{port}", str(port)) for word in argv]
        self.sock, theirs = socket.socketpair()
        try:
            self._child = process.start_process(
                self.argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=process.PIPE
            )
        except BaseException:
            self.sock.close()
            raise
        finally:
            theirs.close()

    def close(self) -> None:
        self.sock.close()
        process.stop(self._child)
        if self._child.stderr:
            self._child.stderr.close()

    def complaint(self) -> str:
        """What the command said on stderr, once it ended by itself."""
        return process.last_words(self._child)


class SshShell:
    """A guest over SSH. `open_link` makes a new stream; `via` says by which way, for people."""

    def __init__(
        self,
        open_link: Callable[[Deadline], Link],
        user: str,
        key: RunKey,
        *,
        name: str,
        via: str,
        host_keys: HostKeys | None = None,
        password: str = "",
    ) -> None:
        self.place = f"guest {name} (ssh, {via})"
        self._open_link = open_link
        self._user = user
        self._key = key
        self._password = password
        self._name = name
        self._host_keys = host_keys or HostKeys()
        self._transport: paramiko.Transport | None = None
        self._link: Link | None = None

    def connect(self, deadline: Deadline) -> None:
        """Connects and authenticates unless that is done. Raises GuestUnreachable; ApiError and ApiDown go through."""
        if self._transport is not None and self._transport.is_active():
            return
        self.close()
        with trace.span("login", self.place, f"as {self._user}", limit=deadline.remaining()):
            try:
                self._link = self._open_link(deadline)
                self._handshake(self._link, deadline)
            except (paramiko.SSHException, OSError, EOFError) as error:
                said = self._link.complaint() if isinstance(self._link, CommandLink) else ""
                self.close()
                raise self._unreachable(error, said) from error
            except BaseException:
                self.close()
                raise

    def _handshake(self, link: Link, deadline: Deadline) -> None:
        left = max(0.5, min(_HANDSHAKE_S, deadline.remaining()))
        transport = paramiko.Transport(link.sock)
        self._transport = transport
        transport.banner_timeout = left
        transport.auth_timeout = left
        transport.start_client(timeout=left)
        self._host_keys.check(self._name, transport.get_remote_server_key())
        try:
            transport.auth_publickey(self._user, self._key.paramiko_key())
        except paramiko.AuthenticationException:
            if not self._password:
                raise
            transport.auth_password(self._user, self._password)
        transport.set_keepalive(_KEEPALIVE_S)

    def _unreachable(self, error: Exception, said: str) -> GuestUnreachable:
        found = f"{type(error).__name__}: {error or 'the stream ended'}" + (
            f"; the connecting command says: {said}" if said else ""
        )
        if isinstance(error, paramiko.AuthenticationException):
            advice = "is the run's key in the VM's cloud-init, for this user? has cloud-init run?"
        else:
            advice = (
                "is an SSH server up in the guest, and its address reachable by this way? the console needs no network"
            )
        return GuestUnreachable(f"SSH as {self._user!r}", found, self.place, advice)

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """See Shell.run."""
        self.connect(deadline)
        assert self._transport is not None
        script = shlex.join(argv)
        with trace.span("command", self.place, script, limit=deadline.remaining()):
            start = time.monotonic()
            try:
                channel = self._transport.open_session(timeout=max(0.5, min(_HANDSHAKE_S, deadline.remaining())))
            except (paramiko.SSHException, OSError, EOFError) as error:
                self.close()
                raise self._unreachable(error, "") from error
            with channel:
                return _Execution(channel, tuple(argv), script, self.place, start).finish(deadline)

    def channel(self, argv: Sequence[str], deadline: Deadline) -> paramiko.Channel:
        """A command that runs with its streams open, for whoever talks to it; it is closed by closing the channel.

        Raises GuestUnreachable."""
        self.connect(deadline)
        assert self._transport is not None
        try:
            channel = self._transport.open_session(timeout=max(0.5, min(_HANDSHAKE_S, deadline.remaining())))
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise self._unreachable(error, "") from error
        return channel

    def close(self) -> None:
        transport, link = self._transport, self._link
        self._transport = self._link = None
        with suppress(Exception):
            if transport is not None:
                transport.close()
        with suppress(OSError):
            if link is not None:
                link.close()


class _Execution:
    """One command on a channel: both streams read side by side until the exit status is there."""

    def __init__(self, channel: paramiko.Channel, argv: tuple[str, ...], script: str, place: str, start: float) -> None:
        self._channel = channel
        self._argv = argv
        self._script = script
        self._place = place
        self._start = start
        self._out = bytearray()
        self._err = bytearray()
        self._endless = bytearray()
        self._stop = threading.Event()

    def finish(self, deadline: Deadline) -> CommandResult:
        channel = self._channel
        channel.settimeout(_TICK_S)
        errors = threading.Thread(target=self._read, args=(channel.recv_stderr, self._err, deadline), daemon=True)
        try:
            channel.exec_command(self._script)
            channel.shutdown_write()
            errors.start()
            self._read(channel.recv, self._out, deadline)
            errors.join()
            if not self._endless:
                channel.status_event.wait(max(0.05, deadline.remaining()))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(error) from error
        finally:
            self._stop.set()
        if self._endless:
            raise EndlessOutput(self._argv[0], self._place, self._endless)
        if not channel.exit_status_ready() and not channel.closed:
            raise EnvironmentTimeout(
                f"{self._script[:80]} on {self._place}",
                "the command to end",
                last=f"still running; output so far: {self._result(-1).output[-1000:]!r}",
                elapsed=time.monotonic() - self._start,
                advice="a longer deadline, or a command that ends by itself",
            )
        if channel.exit_status == -1:
            raise self._lost(None)
        return self._result(channel.exit_status)

    def _read(self, recv: Callable[[int], bytes], into: bytearray, deadline: Deadline) -> None:
        """Until the stream ends, or the deadline. A server may keep a stream open for a child in the background: what
        came 1 s after the exit status is enough."""
        after_exit = None
        while not self._stop.is_set() and not deadline.expired:
            try:
                piece = recv(65536)
            except TimeoutError:
                if self._channel.exit_status_ready():
                    after_exit = after_exit or Deadline.after(1.0)
                    if after_exit.expired:
                        return
                continue
            except (OSError, EOFError):
                return
            if not piece:
                return
            into += piece
            if len(into) > MOST_OUTPUT:
                self._endless = into
                self._stop.set()

    def _lost(self, error: Exception | None) -> Inconclusive:
        why = (str(error) or type(error).__name__) if error else "no exit status came"
        return Inconclusive(
            f"the exit status of {self._argv[0]!r}",
            f"the connection was lost ({why}); output: {self._result(-1).output[-500:]!r}",
            self._place,
            "repeat the command",
        )

    def _result(self, code: int) -> CommandResult:
        out, err = (bytes(data).decode("utf-8", "replace") for data in (self._out, self._err))
        return CommandResult(self._argv, self._place, code, out, err, time.monotonic() - self._start)
