"""Bonds: which columns of Open vSwitch realise a mode of the kernel's driver, and where a bond lives.

The kernel has no bonding driver, so a bond is an OVS bond: a port of the ovs-bridge that lists it, or of a private
bridge of its own while it stands alone. It must not know bridges' own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.embedded.node.nmstate.desired import Iface
from lab.embedded.node.nmstate.draft import Draft, enslave
from lab.embedded.node.nmstate.errors import invalid, unsupported
from lab.embedded.node.nmstate.model import BOND_ROLE, UNKNOWN_BOND, Bond

# lacp, bond_mode: the nearest that Open vSwitch has to each mode of the kernel's driver.
REALISED = {
    "802.3ad": ("active", "balance-tcp"),
    "active-backup": ("off", "active-backup"),
    "balance-rr": ("off", "balance-slb"),
    "balance-xor": ("off", "balance-slb"),
    "balance-tlb": ("off", "balance-slb"),
    "balance-alb": ("off", "balance-slb"),
    "lacp": ("active", "active-backup"),
    "balance-slb": ("off", "balance-slb"),
    "balance-tcp": ("active", "balance-tcp"),
}


def bond_into(draft: Draft, iface: Iface) -> None:
    section = iface.data.get("link-aggregation", {})
    found = draft.host().bond(iface.name)
    if found is None:
        if iface.name in draft.bridges:
            raise invalid(f"Interface {iface.name} cannot be a bond, an ovs-bridge of that name exists")
        _replace_internal(draft, iface.name)
    mode = section.get("mode") or (found[1].bond.mode if found and found[1].bond else None)
    if mode is None:
        raise invalid(f"Bond mode is mandatory for new bond interface: {iface.name}")
    if mode not in REALISED:
        raise unsupported(f"Bond {iface.name}: mode {mode} cannot be realised on this node")
    members = iface.ports if iface.ports is not None else (found[1].members if found else ())
    for member in found[1].members if found else ():
        if member not in members:
            draft.release(member)
    for member in members:
        if found is None or member not in found[1].members:
            draft.release(member)
        enslave(draft, member)
    bond = kernel_bond(mode, section.get("options", {}), found[1].bond if found else None)
    again = draft.host().bond(iface.name)
    if again is None or again[0].role == BOND_ROLE:
        draft.add_bond(iface.name, tuple(members), bond)
    else:
        kind = "bond" if members else "internal"
        draft.set_port(again[0].name, replace(again[1], members=tuple(members), bond=bond, kind=kind))


def _replace_internal(draft: Draft, name: str) -> None:
    # A port that an earlier policy named before the bond existed is an internal interface: the bond takes its place.
    home = draft.host().bridge_of(name)
    if home is not None:
        draft.set_port(home.name, replace(home.ports[name], kind="internal", bond=UNKNOWN_BOND))
        draft.links.pop(name, None)


def kernel_bond(mode: str, options: Mapping[str, Any], known: Bond | None) -> Bond:
    """The OVS columns for a bond of nmstate's type ``bond``; options that OVS has no word for are left out."""
    lacp, bond_mode = REALISED[mode]
    other = dict(known.other) if known is not None and known.mode == mode else {}
    other.pop("lacp-fallback-ab", None)
    if mode == "802.3ad":
        # Documentation/networking/bonding.rst: lacp_rate is slow unless told otherwise.
        other.setdefault("lacp-time", "slow")
        rate = str(options.get("lacp_rate", ""))
        if rate:
            other["lacp-time"] = "fast" if rate in ("fast", "1") else "slow"
    if bond_mode.startswith("balance"):
        # The kernel's driver spreads flows over a member that came back at once; Open vSwitch at its next rebalance.
        other["bond-rebalance-interval"] = "1000"
    if options.get("miimon") is not None:
        other["bond-miimon-interval"] = str(options["miimon"])
    if options.get("primary"):
        other["bond-primary"] = str(options["primary"])
    up = int(options.get("updelay", known.updelay if known else 0))
    down = int(options.get("downdelay", known.downdelay if known else 0))
    return Bond(mode, lacp, bond_mode, tuple(sorted(other.items())), up, down)


def own_bond(section: Mapping[str, Any]) -> Bond:
    mode = section.get("mode", "active-backup")
    lacp, bond_mode = REALISED[mode]
    up, down = int(section.get("bond-updelay", 0)), int(section.get("bond-downdelay", 0))
    return Bond(mode, lacp, bond_mode, (), up, down, own=True)
