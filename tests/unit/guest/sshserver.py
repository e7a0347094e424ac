"""A paramiko SSH server on loopback that runs commands with the local sh: the wire is real, the guest is not."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import IO

import paramiko


class _Server(paramiko.ServerInterface):
    def __init__(self, owner: SshServer) -> None:
        self._owner = owner

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = f"{key.get_name()} {key.get_base64()}" in self._owner.authorized
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        good = password == self._owner.password
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        if command == "drop":
            channel.sendall(b"half")
            threading.Timer(0.3, self._owner.drop).start()
            return
        pipe = subprocess.PIPE
        with (
            contextlib.suppress(OSError, EOFError),
            subprocess.Popen(["sh", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe) as child,
        ):
            assert child.stdin is not None
            feeding = threading.Thread(target=self._feed, args=(channel, child.stdin), daemon=True)
            errors = threading.Thread(target=self._pass, args=(child.stderr, channel.sendall_stderr), daemon=True)
            feeding.start()
            errors.start()
            self._pass(child.stdout, channel.sendall)
            errors.join()
            channel.send_exit_status(child.wait())
            channel.close()

    @staticmethod
    def _feed(channel: paramiko.Channel, stdin: IO[bytes]) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError), stdin:
            while data := channel.recv(4096):
                stdin.write(data)
                stdin.flush()

    @staticmethod
    def _pass(stream: IO[bytes] | None, send: Callable[[bytes], object]) -> None:
        assert stream is not None
        while data := stream.read1(65536):  # type: ignore[attr-defined]
            send(data)


class SshServer:
    """`port` on loopback; `authorized` holds "type base64" of the keys let in."""

    def __init__(self, authorized: str = "", password: str = "") -> None:
        self.authorized = authorized
        self.password = password
        self.host_key: paramiko.PKey = paramiko.ECDSAKey.generate()
        self.connections = 0
        self._transports: list[paramiko.Transport] = []

    def __enter__(self) -> SshServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.drop()

    def drop(self) -> None:
        """Cuts every connection."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(sock)
            transport.add_server_key(self.host_key)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(event=threading.Event(), server=_Server(self))
            self._transports.append(transport)
