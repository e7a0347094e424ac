"""The SSH key of a run and the host keys seen in it: made for the run, gone with it, nobody's own keys involved."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab.core.errors import GuestUnreachable


@dataclass(frozen=True)
class RunKey:
    """`public_line` goes into authorized_keys; the private half is OpenSSH PEM text, never shown."""

    public_line: str
    _private: str

    @classmethod
    def generate(cls, run_id: str = "") -> RunKey:
        """A fresh ed25519 key."""
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(f"{public.decode()} virtlab{'-' + run_id if run_id else ''}", private.decode())

    def __repr__(self) -> str:
        return f"<RunKey {self.public_line.partition(' ')[2][-40:]}>"

    def paramiko_key(self) -> paramiko.Ed25519Key:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(self._private))

    def save(self, path: Path) -> Path:
        """Writes it for a person's own ssh -i, readable by the owner only from its first byte on."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(self._private)
        return path


class HostKeys:
    """Accept and pin: a guest's first host key is taken, another one later in the run is an error."""

    def __init__(self) -> None:
        self._pinned: dict[str, paramiko.PKey] = {}
        self._lock = threading.Lock()

    def check(self, name: str, key: paramiko.PKey) -> None:
        """Raises GuestUnreachable when the key is not the one pinned for this name."""
        with self._lock:
            pinned = self._pinned.setdefault(name, key)
        if pinned != key:
            raise GuestUnreachable(
                f"the host key {pinned.fingerprint} that {name} had before",
                f"another one: {key.fingerprint}",
                name,
                "another machine has this address (a duplicate IP?), or the guest was made anew under its old name",
            )

    def forget(self, name: str) -> None:
        """For a guest that is made anew on purpose."""
        with self._lock:
            self._pinned.pop(name, None)
