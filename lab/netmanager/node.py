"""NetworkManager of one node, asked by its own ``nmcli`` through a shell there. It changes nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, Inconclusive, ToolMissing
from lab.core.result import CommandResult
from lab.guest.shell import Shell
from lab.netmanager.documented import Names, Shown
from lab.netmanager.links import Link, read_link
from lab.netmanager.profiles import FIELDS, Profile, read_settings, read_table, read_terse

T = TypeVar("T")
NOT_FOUND = 127


class NodeNetwork:
    """Each call takes a deadline. Raises ToolMissing (no nmcli there), CommandFailed, Inconclusive, as Client.exec."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def command(self, argv: Sequence[str], deadline: Deadline) -> CommandResult:
        """A command that has to succeed."""
        result = self._shell.run(argv, deadline=deadline)
        if result.exit_code == NOT_FOUND or ("No such file or directory" in result.stderr and argv[0] in result.stderr):
            raise ToolMissing(
                f"{argv[0]} on the node",
                str(result),
                self._shell.place,
                "nodes without NetworkManager cannot run this; on the embedded lab: virtlab fetch",
            )
        if not result.ok:
            raise CommandFailed(result)
        return result

    def profiles(self, deadline: Deadline) -> list[Profile]:
        """All profiles, as programs are told."""
        argv = ["nmcli", "-t", "-f", ",".join(FIELDS), "con", "show"]
        return self._read(argv, read_terse, deadline)

    def link(self, name: str, deadline: Deadline) -> Link:
        """One link of the node."""
        return self._read(["ip", "a", "show", "dev", name], read_link, deadline)

    def shown(self, names: Names, deadline: Deadline) -> Shown:
        """What the documentation looks at, by the commands that it uses."""
        settings = ["nmcli", "-f", "bridge", "con", "show", names.bridge]
        return Shown(
            tuple(self._read(["nmcli", "con", "show"], read_table, deadline)),
            self._read(settings, read_settings, deadline),
            self.link(names.nic, deadline),
            self.link(names.bridge, deadline),
        )

    def _read(self, argv: Sequence[str], read: Callable[[str], T], deadline: Deadline) -> T:
        result = self.command(argv, deadline)
        try:
            return read(result.stdout)
        except ValueError as error:
            raise Inconclusive(f"an answer of {argv[0]} that can be read", f"{error}\n{result}") from error
