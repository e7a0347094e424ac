"""What the documentation types and shows, read from its own text, and how a node's answer differs from it.

The texts are files beside the feature. Names differ from lab to lab (the NIC, its profile) and so are translated; what
changes by itself (UUIDs, addresses, lifetimes, indices) is not compared with the text but must make sense on the node.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.errors import UsageError
from lab.netmanager.links import Link, read_link
from lab.netmanager.profiles import Profile, read_settings, read_table

SLAVE = "bridge-slave-{}"
"""The name that nmcli gives to the profile of a port when nobody chooses one."""
Argv = tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """The bridge, the NIC under it, and the profile that the NIC had before."""

    bridge: str
    nic: str
    wired: str

    @property
    def slave(self) -> str:
        return SLAVE.format(self.nic)

    def translated(self, to: Names) -> dict[str, str]:
        """What these names are called there."""
        pairs = ((self.bridge, to.bridge), (self.nic, to.nic), (self.wired, to.wired), (self.slave, to.slave))
        return dict(pairs)


@dataclass(frozen=True)
class Shown:
    """What is seen: the profiles, the settings of the bridge's, and the two links."""

    profiles: tuple[Profile, ...]
    settings: Mapping[str, str]
    port: Link
    bridge: Link


@dataclass(frozen=True)
class Documented:
    """``prepare`` are the commands that leave the network alone, ``switch`` those from the first that does not."""

    names: Names
    prepare: tuple[Argv, ...]
    switch: tuple[Argv, ...]
    shown: Shown

    def under(self, names: Names, *, port: bool = True) -> Documented:
        """The same with a lab's own names; without the command that makes the NIC a port, if so wished."""
        called = self.names.translated(names)

        def renamed(commands: Sequence[Argv]) -> tuple[Argv, ...]:
            return tuple(tuple(called.get(word, word) for word in argv) for argv in commands)

        prepare = tuple(argv for argv in self.prepare if port or "bridge-slave" not in argv)
        shown = replace(
            self.shown,
            profiles=tuple(
                replace(p, name=called.get(p.name, p.name), device=called.get(p.device, p.device))
                for p in self.shown.profiles
            ),
            port=_renamed(self.shown.port, called),
            bridge=_renamed(self.shown.bridge, called),
        )
        return Documented(names, renamed(prepare), renamed(self.switch), shown)


def _renamed(link: Link, called: Mapping[str, str]) -> Link:
    return replace(link, name=called.get(link.name, link.name), master=called.get(link.master, link.master))


def read(folder: Path) -> Documented:
    """The documentation's text in a folder. Raises UsageError naming the file that cannot be read."""
    typed = _text(folder / "commands.txt")
    try:
        commands = [tuple(shlex.split(line)) for line in typed.splitlines() if line.strip()]
        bridge = next(_after(argv, "ifname") for argv in commands if "bridge" in argv)
        nic = next(_after(argv, "ifname") for argv in commands if "bridge-slave" in argv)
        first = next(index for index, argv in enumerate(commands) if "down" in argv)
        wired = _after(commands[first], "down")
        shown = Shown(
            tuple(read_table(_text(folder / "con-show.txt"))),
            read_settings(_text(folder / f"con-show-{bridge}.txt")),
            read_link(_text(folder / f"ip-{nic}.txt")),
            read_link(_text(folder / f"ip-{bridge}.txt")),
        )
    except (StopIteration, ValueError, IndexError) as error:
        found = str(error) or "a bridge, its port or the profile that goes down is not among the commands"
        raise UsageError("the documented commands and what they show", found, str(folder)) from error
    return Documented(Names(bridge, nic, wired), tuple(commands[:first]), tuple(commands[first:]), shown)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError("the documentation's text", error.strerror or str(error), str(path)) from error


def _after(argv: Argv, word: str) -> str:
    return argv[argv.index(word) + 1]


def differences(documented: Shown, seen: Shown, address: str) -> list[str]:
    """What of a node is not as documented, each in one line; ``address`` is the node's own."""
    found = [*_profiles(documented.profiles, seen.profiles), *_settings(documented.settings, seen.settings)]
    for wanted, link in ((documented.port, seen.port), (documented.bridge, seen.bridge)):
        found += _link(wanted, link)
    if documented.port.mac == documented.bridge.mac and seen.port.mac != seen.bridge.mac:
        found.append(
            f"{seen.bridge.name} has not the hardware address of {seen.port.name}: {seen.bridge.mac}, {seen.port.mac}"
        )
    return [*found, *_addresses(documented, seen, address)]


def _profiles(wanted: Sequence[Profile], seen: Sequence[Profile]) -> list[str]:
    found = []
    for profile in wanted:
        mine = [p for p in seen if p.name == profile.name]
        if len(mine) != 1:
            have = ", ".join(p.name for p in seen) or "none"
            found.append(f"{len(mine)} profiles are called {profile.name}; there are: {have}")
        elif (mine[0].type, mine[0].device) != (profile.type, profile.device):
            found.append(f"wanted the profile {profile}, found {mine[0]}")
    return found


def _settings(wanted: Mapping[str, str], seen: Mapping[str, str]) -> list[str]:
    return [
        f"{key} is {seen.get(key, 'not told')!r}, documented is {value!r}"
        for key, value in wanted.items()
        if seen.get(key) != value
    ]


def _link(wanted: Link, seen: Link) -> list[str]:
    found = []
    if lacking := sorted(wanted.flags - seen.flags):
        found.append(f"{seen.name} lacks the flags {', '.join(lacking)}")
    for what, should, is_ in (("state", wanted.state, seen.state), ("master", wanted.master, seen.master)):
        if should != is_:
            found.append(f"{what} of {seen.name} is {is_ or 'none'}, documented is {should or 'none'}")
    return found


def _addresses(documented: Shown, seen: Shown, address: str) -> list[str]:
    found = []
    if seen.port.ipv4 and not documented.port.ipv4:
        found.append(f"{seen.port.name} still has {', '.join(map(str, seen.port.ipv4))}")
    mine = [a for a in seen.bridge.ipv4 if a.address == address]
    if not mine:
        have = ", ".join(map(str, seen.bridge.ipv4)) or "no address"
        return [*found, f"{seen.bridge.name} has {have}, not the node's {address}"]
    (wanted,) = documented.bridge.ipv4
    if mine[0].scope != wanted.scope or not wanted.words <= mine[0].words:
        lacking = ", ".join(sorted(wanted.words - mine[0].words)) or f"scope {wanted.scope}"
        found.append(f"{mine[0]} of {seen.bridge.name} lacks: {lacking}")
    if wanted.valid_s is not None and mine[0].valid_s is None:
        found.append(f"{mine[0]} of {seen.bridge.name} is for ever, and so no lease")
    return found
