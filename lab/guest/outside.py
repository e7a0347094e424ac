"""A shell on a host beside the cluster: the command prefix of the target file, run here, does the rest."""

from __future__ import annotations

from collections.abc import Sequence

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import UsageError
from lab.core.result import CommandResult
from lab.target.inventory import OutsideHost


class OutsideShell:
    """See Shell. The prefix must pass arguments as they are and end with the command's own exit status."""

    def __init__(self, host: OutsideHost) -> None:
        if not host.exec:
            raise UsageError(f"a way to run commands on {host.name}", "outside.<name>.exec is empty in the target file")
        self.host = host
        self.place = f"outside host {host.name}"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """Raises ToolMissing (the prefix' program), EnvironmentTimeout."""
        return process.run(self.host.command(argv), deadline=deadline, place=self.place)

    def start(self, argv: Sequence[str]) -> process.Child:
        """A running command with stdout and stderr as pipes; end it with process.stop()."""
        return process.start_process(self.host.command(argv))

    def close(self) -> None:
        """Nothing is held open."""
