"""By which way a guest is reached, and why: SSH by port-forward, SSH through an outside host, or the serial console.

Pure choice first (`ways`), then the attempt (`open_shell`), whose failure lists every way with its reason.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.access.client import Client
from lab.access.errors import ApiError
from lab.access.kinds import Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import GuestUnreachable
from lab.guest.console import ConsoleShell
from lab.guest.keys import HostKeys, RunKey
from lab.guest.shell import Shell
from lab.guest.ssh import CommandLink, DirectLink, SshShell
from lab.target.inventory import Image, Target

SSH_PORT = 22
Kind = Literal["ssh", "console"]


@dataclass(frozen=True)
class Way:
    """One way into a guest: usable when `shell` is there; `why` says why it is, or why not."""

    kind: Kind
    name: str
    why: str
    shell: SshShell | ConsoleShell | None = None


@dataclass(frozen=True)
class Access:
    """What every guest of a run is reached with. `direct` allows plain connections from here to a guest's address."""

    client: Client
    target: Target
    key: RunKey
    host_keys: HostKeys
    direct: bool = False


def ways(
    access: Access,
    vmi: Obj,
    image: Image,
    *,
    address: str = "",
    on_output: Callable[[bytes], None] | None = None,
) -> tuple[Way, ...]:
    """All ways to a guest, best first. `vmi` as read from the cluster; `address` is its known address in a VLAN (else
    what its status reports); `on_output` gets the console's bytes."""
    found = [_port_forward(access, vmi, image), _through(access, vmi, image, address)]
    if access.direct:
        found.append(_direct(access, vmi, image, address))
    return (*found, _console(access, vmi, image, on_output))


def open_shell(ways: Sequence[Way], *, prefer: Kind | None = None, deadline: Deadline) -> tuple[Shell, Way]:
    """The first way that answers; with `prefer` only ways of that kind. The shell it returns is logged in.

    Raises GuestUnreachable naming every way and its reason.
    """
    reasons: list[str] = []
    usable = [way for way in ways if prefer is None or way.kind == prefer]
    for number, way in enumerate(usable):
        if way.shell is None:
            reasons.append(f"{way.name}: not possible, {way.why}")
            continue
        last = not any(later.shell for later in usable[number + 1 :])
        try:
            _enter(way.shell, deadline if last else deadline.sub(deadline.remaining() / 2))
        except (GuestUnreachable, ApiError) as error:
            reasons.append(f"{way.name}: {error.found}")
            continue
        trace.note(way.shell.place, f"reached by {way.name}: {way.why}", what="reach")
        return way.shell, way
    raise GuestUnreachable(
        f"a shell{f' by {prefer}' if prefer else ''}",
        "; ".join(reasons) or "no way was offered",
        _name_of_first(usable),
        "see the guest's console log; virtctl console shows what it shows",
    )


def _enter(shell: SshShell | ConsoleShell, deadline: Deadline) -> None:
    if isinstance(shell, ConsoleShell):
        shell.login(deadline)
    else:
        shell.connect(deadline)


def _name_of_first(usable: Sequence[Way]) -> str:
    return next((way.shell.place for way in usable if way.shell), "")


def _names(vmi: Obj) -> tuple[str, str, str]:
    meta = vmi["metadata"]
    return meta["name"], meta["namespace"], f"{meta['namespace']}/{meta['name']}"


def pod_network(vmi: Obj) -> bool:
    """Whether the guest's first interface is on the pod network: only then a port-forward leads to it."""
    networks = {n.get("name"): n for n in vmi["spec"].get("networks") or []}
    interfaces = ((vmi["spec"].get("domain") or {}).get("devices") or {}).get("interfaces") or []
    return bool(interfaces) and "pod" in networks.get(interfaces[0].get("name"), {})


def addresses(vmi: Obj) -> list[str]:
    """The IPv4 addresses that the VMI's status reports, interfaces in order."""
    found: list[str] = []
    for interface in (vmi.get("status") or {}).get("interfaces") or []:
        for text in interface.get("ipAddresses") or [interface.get("ipAddress") or ""]:
            if text and ipaddress.ip_address(text).version == 4 and text not in found:
                found.append(text)
    return found


def _port_forward(access: Access, vmi: Obj, image: Image) -> Way:
    name, namespace, shown = _names(vmi)
    way = "SSH by port-forward"
    if not pod_network(vmi):
        return Way("ssh", way, "the guest's first interface is not on the pod network")
    client = access.client
    shell = SshShell(
        lambda deadline: client.port_forward(name, namespace, SSH_PORT, deadline=deadline),
        image.user,
        access.key,
        name=shown,
        via="port-forward",
        host_keys=access.host_keys,
    )
    return Way("ssh", way, "the guest is on the pod network", shell)


def _through(access: Access, vmi: Obj, image: Image, address: str) -> Way:
    _, _, shown = _names(vmi)
    way = "SSH through an outside host"
    known = [address] if address else addresses(vmi)
    for candidate in known:
        for segment in access.target.segments:
            if ipaddress.ip_address(candidate) not in ipaddress.ip_network(segment.subnet):
                continue
            host = access.target.outside.get(segment.outside)
            if host is None or not host.connect:
                return Way("ssh", way, f"{segment} has no outside host with a `connect` command")
            shell = SshShell(
                _connector(host.connect, candidate),
                image.user,
                access.key,
                name=shown,
                via=f"{host.name} to {candidate}",
                host_keys=access.host_keys,
            )
            return Way("ssh", way, f"{host.name} is in {segment} with {candidate}", shell)
    return Way(
        "ssh", way, f"none of its addresses ({', '.join(known) or 'none known'}) is in a VLAN or network of the target"
    )


def _connector(argv: Sequence[str], address: str) -> Callable[[Deadline], CommandLink]:
    return lambda deadline: CommandLink(argv, address, SSH_PORT)


def _direct(access: Access, vmi: Obj, image: Image, address: str) -> Way:
    _, _, shown = _names(vmi)
    known = [address] if address else addresses(vmi)
    if not known:
        return Way("ssh", "SSH directly", "no address is known")
    shell = SshShell(
        lambda deadline: DirectLink(known[0], SSH_PORT, deadline),
        image.user,
        access.key,
        name=shown,
        via=f"directly to {known[0]}",
        host_keys=access.host_keys,
    )
    return Way("ssh", "SSH directly", f"direct connections are allowed, its address is {known[0]}", shell)


def _console(access: Access, vmi: Obj, image: Image, on_output: Callable[[bytes], None] | None) -> Way:
    name, namespace, shown = _names(vmi)
    client = access.client
    shell = ConsoleShell(
        lambda deadline: client.console(name, namespace, deadline=deadline),
        image.user,
        image.password,
        name=shown,
        on_output=on_output,
    )
    return Way("console", "the serial console", "it needs no network", shell)
