"""Hosts beside the cluster, and the commands that lead to them: a target's own, or made for OpenSSH."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.target.document import Section

CONNECT_S = 10
"""Seconds for OpenSSH to reach its server."""


@dataclass(frozen=True)
class OutsideHost:
    """A host beside the cluster. `exec` is a command prefix; `connect` an argv with {host} and {port} whose stdin and
    stdout are a TCP stream from there; either may be empty. `quoted` is for a prefix behind which a shell reads: sshd
    joins the words that it is given, and hands them to the login's shell."""

    name: str
    exec: tuple[str, ...]
    connect: tuple[str, ...]
    quoted: bool = False

    def command(self, argv: Sequence[str]) -> list[str]:
        """What is run here so that *argv* runs there, word for word."""
        return [*self.exec, *(shlex.join([word]) for word in argv)] if self.quoted else [*self.exec, *argv]


def program(argv: Sequence[str]) -> tuple[str, ...]:
    """`virtlab` and `python` mean the ones of this very installation when they are not on PATH."""
    if argv and argv[0] in ("virtlab", "python") and not shutil.which(argv[0]):
        return (str(Path(sys.executable).parent / argv[0]), *argv[1:])
    return tuple(argv)


def read_host(name: str, section: Section, file: Path) -> OutsideHost:
    """One entry of ``outside``. Raises UsageError with line and key."""
    own, connect = (program(section.texts(key)) for key in ("exec", "connect"))
    if connect and not all(any(mark in word for word in connect) for mark in ("{host}", "{port}")):
        raise section.complain("connect", "a command with the words {host} and {port}", " ".join(connect))
    ssh = section.section("ssh")
    if ssh is None:
        return OutsideHost(name, own, connect)
    if own or connect:
        raise section.complain("ssh", "ssh, or commands of your own", "both", "keep one of the two")
    options, host = _ssh(ssh, file)
    return OutsideHost(name, (*options, host, "--"), (*options, "-W", "{host}:{port}", host), quoted=True)


def _ssh(section: Section, file: Path) -> tuple[tuple[str, ...], str]:
    """(program and options, login). Nothing is asked on a terminal, and an unknown host key is refused."""
    host, user = section.text("host"), section.text("user")
    for key, word in (("host", host), ("user", user), ("jump", section.text("jump"))):
        if word.startswith("-"):
            raise section.complain(key, "a name that ssh does not take for an option", repr(word))
    words = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
    words += ["-p", str(section.number("port"))] if section.has("port") else []
    words += ["-i", _path(section.text("key"), file), "-o", "IdentitiesOnly=yes"] if section.has("key") else []
    if section.has("known-hosts"):
        words += ["-o", f"UserKnownHostsFile={_path(section.text('known-hosts'), file)}"]
    words += ["-J", section.text("jump")] if section.has("jump") else []
    return tuple(words), f"{user}@{host}" if user else host


def _path(name: str, file: Path) -> str:
    found = Path(os.path.expandvars(name)).expanduser()
    return str(found if found.is_absolute() else file.parent.absolute() / found)
