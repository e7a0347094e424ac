"""The commands that lead from one Host to another, in an order that works.

Pure. One ``ovs-vsctl`` transaction and two ``ip`` batches (before it: let go; after it: take hold) whatever the
size of the change; no commands when the two are equal. What they say is `ovscommands`' and `ipcommands`' work.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.embedded.node.nmstate import ipcommands, ovscommands
from lab.embedded.node.nmstate.model import Host


@dataclass(frozen=True)
class Steps:
    """What to run, in this order: stop DHCP, ``before``, ``ovs``, offloads, ``after``, ``vlans``, ipv6, DNS, DHCP.

    ``stp_pause`` names the bridges whose spanning tree is off while ``ovs`` runs, ``lacp_restart`` the bonds whose LACP
    is off before it.
    """

    dhcp_stop: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    ovs: tuple[str, ...] = ()
    stp_pause: tuple[str, ...] = ()
    lacp_restart: tuple[str, ...] = ()
    offloads: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    vlans: tuple[str, ...] = ()
    ipv6: tuple[tuple[str, bool], ...] = ()
    dns: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    dhcp_start: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Steps()

    def lines(self) -> list[str]:
        """All changes as a person would type them, for the log."""
        vsctl = " ".join(self.ovs).split(" -- ") if self.ovs else []
        return [
            *(f"stop dhcp on {name}" for name in self.dhcp_stop),
            *(f"ip {line}" for line in self.before),
            *(f"ovs-vsctl {part}" for part in vsctl),
            *(f"ip {line}" for line in self.after),
            *(f"bridge {line}" for line in self.vlans),
            *(f"dns {self.dns}" for _ in [0] if self.dns is not None),
            *(f"dhcp on {name}" for name in self.dhcp_start),
        ]


def transition(current: Host, target: Host) -> Steps:
    """The steps from ``current`` to ``target``."""
    reborn = _reborn(current, target)
    known = {name: link for name, link in current.links.items() if name not in reborn}
    return Steps(
        dhcp_stop=tuple(sorted(current.dhcp - target.dhcp)),
        before=tuple(ipcommands.before(current, target, known)),
        ovs=tuple(ovscommands.joined(ovscommands.commands(current, target, known))),
        stp_pause=ovscommands.stp_pause(current, target),
        lacp_restart=ovscommands.lacp_restart(current, target),
        offloads=tuple(ovscommands.offloads(current, target, reborn)),
        after=tuple(ipcommands.after(current, target, known)),
        vlans=tuple(ipcommands.vlans(target, known)),
        ipv6=tuple(
            (name, link.ipv6)
            for name, link in sorted(target.links.items())
            if link.ipv6 != (known[name].ipv6 if name in known else True)
        ),
        dns=_dns(current, target),
        dhcp_start=tuple(sorted(target.dhcp - (current.dhcp - reborn))),
    )


def _dns(current: Host, target: Host) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    wanted = (target.dns_servers, target.dns_search)
    return None if wanted == (current.dns_servers, current.dns_search) else wanted


def _internals(host: Host) -> dict[str, tuple[str, str]]:
    """Kernel taps that OVS makes, with what makes them."""
    found: dict[str, tuple[str, str]] = {}
    for bridge in host.bridges.values():
        found[bridge.name] = (bridge.name, "local")
        for port in bridge.ports.values():
            if port.kind == "internal":
                found[port.name] = (bridge.name, "port")
    return found


def _reborn(current: Host, target: Host) -> set[str]:
    """Taps that vanish and come again, so that nothing of theirs survives."""
    was, becomes = _internals(current), _internals(target)
    return {name for name, maker in becomes.items() if name in current.links and was.get(name) != maker}
