"""A shell on a host beside the cluster: the command prefix of the target file, run here, does the rest.

OpenSSH ends with 255 when it fails itself, which a command may do, too; the two are told apart by OpenSSH's own words,
so that a host that cannot be reached is never taken for an answer of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import GuestUnreachable, UsageError
from lab.core.result import CommandResult
from lab.target.inventory import OutsideHost

SSH_FAILED = 255
SAID = (
    (r".*REMOTE HOST IDENTIFICATION HAS CHANGED.*",
     "if it was installed anew: ssh-keygen -R its name, and accept its new key by hand; else somebody is in between"),
    (r"Host key verification failed\.|No .* host key is known for .*",
     "log in once by hand, to look at its host key and accept it; or known-hosts names a file that has it"),
    (r"WARNING: UNPROTECTED PRIVATE KEY FILE!", "chmod 600 the file of outside.<name>.ssh.key"),
    (r"No user exists for uid .*", "OpenSSH wants a line in /etc/passwd for whoever calls it, in a container too"),
    (r".*: Permission denied \(.*\)\.|Received disconnect from .*",
     "its user must accept the key: outside.<name>.ssh.user and .key"),
    (r"ssh: .*|kex_exchange_identification: .*|banner exchange: .*|Connection (closed|reset|timed out).*"
     r"|Connection to .* (closed by remote host|timed out).*|client_loop: .*|Timeout, server .*",
     "is it up, and host and port right?"),
)  # fmt: skip
"""What OpenSSH says when it fails, the most telling first, and what helps; from its ssh.c, sshconnect.c, packet.c."""


class OutsideShell:
    """See Shell. The prefix must pass arguments as they are and end with the command's own exit status."""

    def __init__(self, host: OutsideHost) -> None:
        if not host.exec:
            raise UsageError(f"a way to run commands on {host.name}", "outside.<name>.exec is empty in the target file")
        self.host = host
        self.place = f"outside host {host.name}"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """Raises ToolMissing (the prefix' program), EnvironmentTimeout, EndlessOutput, GuestUnreachable (by ssh)."""
        result = process.run(self.host.command(argv), deadline=deadline, place=self.place, program=argv[0])
        if self.host.quoted and result.exit_code == SSH_FAILED:
            self._check(result.stderr)
        return result

    def _check(self, said: str) -> None:
        lines = [line.strip().strip("@ ") for line in said.splitlines()]
        for pattern, advice in SAID:
            for line in lines:
                if re.fullmatch(pattern, line):
                    raise GuestUnreachable(
                        f"a shell on {self.place} by ssh", line, self.host.exec[-2],
                        advice.replace("<name>", self.host.name),
                    )  # fmt: skip

    def close(self) -> None:
        """Nothing is held open."""
