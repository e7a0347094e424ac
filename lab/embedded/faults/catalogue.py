"""Every fault there is, listed by hand, and the record of those that are set.

A fault that is set is a file in the lab's folder: `status` shows it, `heal` needs nothing else, and a lab
that comes up starts without any.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.acl_drops import AclDrops
from lab.embedded.faults.address_changed import AddressChanged
from lab.embedded.faults.agent_absent import AgentAbsent
from lab.embedded.faults.api import API_FAULTS
from lab.embedded.faults.arp_wrong import ArpWrong
from lab.embedded.faults.bridge_filtered import BridgeFiltered
from lab.embedded.faults.bridge_mapping_missing import BridgeMappingMissing
from lab.embedded.faults.bridge_mapping_wrong import BridgeMappingWrong
from lab.embedded.faults.bridge_plugin_old import BridgePluginOld
from lab.embedded.faults.bridge_port_lost import BridgePortLost
from lab.embedded.faults.daemon_dead import CONTROLLER_DEAD, NORTHD_DEAD
from lab.embedded.faults.delay import Delay
from lab.embedded.faults.dhcp_silent import DhcpSilent
from lab.embedded.faults.dhcp_stray import DhcpStray
from lab.embedded.faults.dhcp_wrong_subnet import DhcpWrongSubnet
from lab.embedded.faults.duplicate import Duplicate
from lab.embedded.faults.duplicate_ip import DuplicateIp
from lab.embedded.faults.eviction_unguarded import EvictionUnguarded
from lab.embedded.faults.firewall_drops import FirewallDrops
from lab.embedded.faults.flooding_off import FloodingOff
from lab.embedded.faults.gateway_arp_wrong import GatewayArpWrong
from lab.embedded.faults.gateway_down import GatewayDown
from lab.embedded.faults.geneve_blocked import GeneveBlocked
from lab.embedded.faults.guest_slow import GuestSlow
from lab.embedded.faults.interface_down import InterfaceDown
from lab.embedded.faults.lacp_off import LacpOff
from lab.embedded.faults.launcher_killed import LauncherKilled
from lab.embedded.faults.line_slow import LineSlow
from lab.embedded.faults.loss import Loss
from lab.embedded.faults.member_down import MemberDown
from lab.embedded.faults.memory_decays import MemoryDecays
from lab.embedded.faults.migration_hangs import MigrationHangs
from lab.embedded.faults.migration_refused import MigrationRefused
from lab.embedded.faults.migrations_serial import MigrationsSerial
from lab.embedded.faults.missing_route import MissingRoute
from lab.embedded.faults.mtu_small import MtuSmall
from lab.embedded.faults.names_hijacked import NamesHijacked
from lab.embedded.faults.nd_dropped import NdDropped
from lab.embedded.faults.nd_spoofed import NdSpoofed
from lab.embedded.faults.nic_renamed import NicRenamed
from lab.embedded.faults.no_address import NoAddress
from lab.embedded.faults.no_garp import NoGarp
from lab.embedded.faults.node_unreachable import NodeUnreachable
from lab.embedded.faults.operator_dead import OperatorDead
from lab.embedded.faults.ovnk_bug import OvnkBug
from lab.embedded.faults.policy_outranked import PolicyOutranked
from lab.embedded.faults.port_announced_early import PortAnnouncedEarly
from lab.embedded.faults.port_down import PortDown
from lab.embedded.faults.port_filtered import PortFiltered
from lab.embedded.faults.port_security import PortSecurity
from lab.embedded.faults.port_unbound import PortUnbound
from lab.embedded.faults.sb_stale import SbStale
from lab.embedded.faults.site import Fault, Site
from lab.embedded.faults.snat_missing import SnatMissing
from lab.embedded.faults.spoof_check_lost import SpoofCheckLost
from lab.embedded.faults.spoof_check_stale import SpoofCheckStale
from lab.embedded.faults.ssh_refused import SshRefused
from lab.embedded.faults.stale_ecmp_route import StaleEcmpRoute
from lab.embedded.faults.stale_mac_table import StaleMacTable
from lab.embedded.faults.stp_blocking import StpBlocking
from lab.embedded.faults.stray_bridge import StrayBridge
from lab.embedded.faults.stray_uplink import StrayUplink
from lab.embedded.faults.tap_unplugged import TapUnplugged
from lab.embedded.faults.target_crash import TargetCrash
from lab.embedded.faults.vlan_missing import VlanMissing
from lab.embedded.faults.web_hijacked import WebHijacked
from lab.embedded.faults.wrong_gateway import WrongGateway
from lab.embedded.faults.wrong_mask import WrongMask
from lab.embedded.faults.wrong_native_vlan import WrongNativeVlan
from lab.embedded.faults.wrong_next_hop import WrongNextHop

FAULTS: tuple[Fault, ...] = (
    VlanMissing(),
    BridgeMappingMissing(),
    GatewayDown(),
    MemberDown(),
    LacpOff(),
    OvnkBug(),
    DhcpSilent(),
    PortSecurity(),
    SpoofCheckLost(),
    StrayBridge(),
    BridgeFiltered(),
    BridgePluginOld(),
    OperatorDead(),
    StrayUplink(),
    SshRefused(),
    Loss(),
    MtuSmall(),
    NoGarp(),
    AgentAbsent(),
    BridgeMappingWrong(),
    Delay(),
    DhcpStray(),
    DhcpWrongSubnet(),
    Duplicate(),
    DuplicateIp(),
    FirewallDrops(),
    FloodingOff(),
    GatewayArpWrong(),
    GuestSlow(),
    InterfaceDown(),
    LauncherKilled(),
    MigrationHangs(),
    MigrationRefused(),
    NicRenamed(),
    NoAddress(),
    NodeUnreachable(),
    PortAnnouncedEarly(),
    PortDown(),
    StaleMacTable(),
    StpBlocking(),
    TargetCrash(),
    WrongGateway(),
    WrongMask(),
    WrongNativeVlan(),
    *API_FAULTS,
    StaleEcmpRoute(),
    MissingRoute(),
    WrongNextHop(),
    PortUnbound(),
    NORTHD_DEAD,
    CONTROLLER_DEAD,
    GeneveBlocked(),
    SbStale(),
    SnatMissing(),
    AclDrops(),
    AddressChanged(),
    ArpWrong(),
    EvictionUnguarded(),
    LineSlow(),
    MemoryDecays(),
    MigrationsSerial(),
    NamesHijacked(),
    NdDropped(),
    NdSpoofed(),
    PolicyOutranked(),
    PortFiltered(),
    WebHijacked(),
    BridgePortLost(),
    SpoofCheckStale(),
    TapUnplugged(),
)


AND = "+"


def find(name: str) -> Fault:
    """The fault of that name. Raises UsageError listing what there is."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise UsageError(
        "wanted a fault of the catalogue", repr(name), advice=f"one of {', '.join(f.name for f in FAULTS)}"
    )


def parse(fault: Fault, words: Sequence[str]) -> dict[str, str]:
    """``key=value`` words as the fault's arguments. Raises UsageError for missing or unknown ones."""
    given = dict(word.partition("=")[::2] for word in words)
    usage = f"virtlab fault set {fault.name} {' '.join(f'{key}=...' for key in fault.parameters)}"
    missing = [key for key in fault.parameters if not given.get(key)]
    unknown = [key for key in given if key not in fault.parameters]
    if missing or unknown:
        found = "; ".join(
            [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        )
        raise UsageError(f"wanted the arguments of {fault.name}: {', '.join(fault.parameters)}", found, advice=usage)
    return given


def several(words: Sequence[str]) -> list[list[str]]:
    """``a x=1 + b y=2`` as the words of each fault."""
    found: list[list[str]] = [[]]
    for word in words:
        if word == AND:
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


class Active:
    """The faults that are set, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[dict[str, Any]]:
        """Each with name, arguments and what heal needs, in order of setting."""
        files = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(path.read_text()) for path in files]

    def _file(self, name: str, arguments: dict[str, str]) -> Path:
        values = (arguments[key].replace("/", "_") for key in sorted(arguments))
        return self.folder / f"{'.'.join([name, *values])}.json"

    async def set(self, site: Site, name: str, words: Sequence[str]) -> dict[str, Any]:
        """Set a fault and record it. Raises UsageError, FaultError; one that is set already is left as it is."""
        fault = find(name)
        arguments = parse(fault, words)
        file = self._file(name, arguments)
        if file.exists():
            return {**json.loads(file.read_text()), "already": True}
        saved = await fault.inject(site, arguments)
        entry = {"name": name, "layer": fault.layer, "arguments": arguments, "saved": saved}
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(entry))
        return entry

    async def set_all(self, site: Site, faults: Sequence[Sequence[str]]) -> AsyncIterator[dict[str, Any]]:
        """Set several at once, each given as its words; yields each that was set.

        Raises as `set`: before any is set when one cannot be, else after the others.
        """
        for name, *words in faults:
            parse(find(name), words)
        made = await asyncio.gather(*(self.set(site, name, words) for name, *words in faults), return_exceptions=True)
        for entry in made:
            if not isinstance(entry, BaseException):
                yield entry
        for entry in made:
            if isinstance(entry, BaseException):
                raise entry

    async def heal(self, site: Site, name: str | None, words: Sequence[str]) -> list[dict[str, Any]]:
        """Heal one fault, all of a name, or all; the last set first. Returns what was healed."""
        wanted = None if name is None else find(name).name
        given = dict(word.partition("=")[::2] for word in words)
        chosen = [
            entry for entry in self.entries()
            if (wanted is None or entry["name"] == wanted) and given.items() <= entry["arguments"].items()
        ]  # fmt: skip
        if name is not None and not chosen:
            raise FaultError(f"wanted the fault {name} {' '.join(words)}".rstrip(), "it is not set",
                             advice="virtlab fault list")  # fmt: skip
        for entry in reversed(chosen):
            await find(entry["name"]).heal(site, entry["arguments"], entry["saved"])
            self._file(entry["name"], entry["arguments"]).unlink()
        return chosen
