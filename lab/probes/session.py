"""An SSH session that is open before a disturbance and must live on: the same connection, the same shell, or it broke.

It echoes numbered records, with builtins alone. A session that dies says when and why; nothing opens it again.
"""

from __future__ import annotations

import re

import paramiko

from lab.core.deadline import Deadline
from lab.core.errors import ProbeNotStarted
from lab.guest.ssh import SshShell
from lab.probes.peer import Peer
from lab.probes.series import Frame, Series, series

ECHO = 'while read -r l; do echo "$l"; done'
INTERVAL_MS = 100.0
_FIRST_S = 10.0
_ECHOED = re.compile(r"\d{1,9} \d{1,12}\.\d+")


class SshSession:
    """One session on a connection of its own, which ends with it. `kind` "tcp" when it stands in for a TCP stream."""

    def __init__(self, shell: SshShell, *, name: str, kind: str = "ssh") -> None:
        self.shell = shell
        self.kind = kind
        self.name = name
        self._channel: paramiko.Channel | None = None
        self._peer: Peer | None = None

    @property
    def title(self) -> str:
        return f"{self.kind} session {self.name}"

    def start(self, deadline: Deadline) -> None:
        """Returns when it echoes. Raises ProbeNotStarted, GuestUnreachable."""
        self._channel = self.shell.channel(["sh", "-c", ECHO], deadline)
        self._peer = Peer(self._channel, INTERVAL_MS)
        if not self._peer.start(deadline.sub(_FIRST_S)):
            said = self._peer.broke or "nothing came back"
            self._peer.stop()
            self._channel.close()
            raise ProbeNotStarted("an SSH session that echoes", said, self.shell.place, "does `sh` run there?")

    def stop(self, deadline: Deadline) -> None:
        """Waits for one more echo, 10 s at most, and ends the session."""
        assert self._peer is not None
        assert self._channel is not None
        self._peer.wait_line(deadline.sub(_FIRST_S))
        self._peer.stop()
        self._channel.close()
        self.shell.close()

    def read(self) -> Series:
        """Its echoes, by the harness' own clock."""
        peer = self._peer
        assert peer is not None
        answers = [(at, line.partition(" ")) for at, line in peer.arrivals if _ECHOED.fullmatch(line)]
        frame = Frame(
            kind=self.kind,
            place=self.name,
            target="harness",
            interval_ms=INTERVAL_MS,
            began=peer.began,
            ended=peer.ended,
            sent=peer.sent,
            broke=peer.broke,
            broke_at=peer.broke_at,
            remarks=() if self.kind == "ssh" else ("nothing to listen with there: an SSH session stands in",),
        )
        seqs, times = [int(seq) for _, (seq, _, _) in answers], [at for at, _ in answers]
        return series(frame, seqs, times, [(at - float(sent)) * 1000 for at, (_, _, sent) in answers])
