"""This zone's part of every virtual machine that takes its pod address along, kept in the northbound database.

Every zone looks at every such VM whenever one of its pods changes, as every ovnkube-controller does, and brings its own
database to what `vmroutes` says.  It must not touch what nobody signed: people and faults put routes there.
"""

from __future__ import annotations

import logging
from ipaddress import IPv4Address
from typing import Any

from lab.embedded.errors import LabError
from lab.embedded.host.ovs import Row
from lab.embedded.kube import Obj
from lab.embedded.model.kinds import POD
from lab.embedded.node import podnetwork as net
from lab.embedded.node import podnotes
from lab.embedded.node import vmroutes as rules
from lab.embedded.node.addresses import Pool
from lab.embedded.node.context import NodeContext
from lab.embedded.node.ovnzone import ZoneBuilder
from lab.embedded.node.vmroutes import Vm

log = logging.getLogger(__name__)
BUGS = "ovnkube-bugs"
"""The external_ids key: in Open_vSwitch what this node's controller is to have, in NB_Global what it has."""


def owner_of(vm: Vm) -> str:
    """Who holds the VM's address in its home node's pool, for as long as any of its pods lives anywhere."""
    return f"vm:{vm.key}"


class VmZone:
    """The VMs of the whole cluster as one zone sees them."""

    def __init__(self, ctx: NodeContext, zone: ZoneBuilder, pool: Pool) -> None:
        self.ctx, self.zone, self.pool, self.me = ctx, zone, pool, zone.me
        self.pods = ctx.informers.get(POD)
        self.bugs: frozenset[str] = frozenset()
        self._homes: dict[Vm, tuple[IPv4Address, str]] = {}
        """Every VM's address and the node that it was last seen to take traffic on."""
        self._proxied = ""

    def pods_of(self, vm: Vm) -> list[Obj]:
        """All pods of a VM, the ended ones too."""
        return [pod for pod in self.pods.items.values() if rules.vm_of(pod) == vm]

    @property
    def moving(self) -> bool:
        """Whether there is any such VM."""
        return bool(self._homes)

    def _all(self) -> set[Vm]:
        return {vm for pod in self.pods.items.values() if (vm := rules.vm_of(pod)) is not None}

    async def begin(self) -> None:
        """What a controller does when it starts: take its settings, drop what it cannot use, look at every VM.

        The last word, in NB_Global, tells whoever changed a setting that it is in force.
        """
        settings = await self.ctx.ovs.table("Open_vSwitch", ["external_ids"])
        self.bugs = frozenset(settings[0]["external_ids"].get(BUGS, "").split(",")) & frozenset(rules.BUGS)
        self._proxied = ""
        found = {vm: rules.runner(self.pods_of(vm)) for vm in self._all()}
        live = {vm: pod["spec"]["nodeName"] == self.me.name for vm, pod in found.items() if pod is not None}
        if rules.REPLACES_SAME_NEXTHOP in self.bugs:
            # Controllers of its time took every VM for gone at their start, and wrote all routes again.
            live = {}
        leases = await self._leases()
        gone = {row["external_ids"][rules.OWNER_NAME] for row in leases} - {vm.key for vm in live}
        words = rules.outdated(await self.zone.rows(net.ROUTER), live) + rules.dhcp_gone(leases, gone)
        await self._write(words)
        for vm in found:
            await self.look(vm.key)
        await self.proxy()
        said = ["set", "NB_Global", ".", f'external_ids:{BUGS}="{",".join(sorted(self.bugs))}"']
        await self.ctx.northbound.ctl(*said)
        if self.bugs:
            log.warning("routes of migrated VMs as with %s", ", ".join(sorted(self.bugs)))

    async def look(self, key: str) -> None:
        """Bring this zone's routes of one VM to where it takes its traffic; forget one of which no pod lives."""
        vm = Vm(*key.split("/", 1))
        pods = self.pods_of(vm)
        if all(rules.ended(pod) for pod in pods):
            await self._forget(vm)
            return
        pod = rules.runner(pods)
        entry = podnotes.default_entry(pod) if pod is not None else None
        there = self.zone.member(pod["spec"]["nodeName"]) if pod is not None else None
        if entry is None or there is None:
            return
        address = podnotes.address_of(entry)
        words = rules.settle(await self.zone.rows(net.ROUTER), vm, address, self.me, there, self.bugs)
        if there.name != self.me.name:
            words += rules.dhcp_gone(await self._leases(), [vm.key])
        await self._write(words)
        if words:
            log.info("VM %s with %s takes its traffic on %s", vm.key, address, there.name)
        self._homes[vm] = (address, there.name)
        await self.proxy()

    async def _forget(self, vm: Vm) -> None:
        self._homes.pop(vm, None)
        self.pool.release(owner_of(vm))
        words = rules.forget(await self.zone.rows(net.ROUTER), vm)
        await self._write(words + rules.dhcp_gone(await self._leases(), [vm.key]))
        await self.proxy()

    async def _write(self, words: list[str]) -> None:
        if words:
            await self.ctx.northbound.ctl(*words[1:])

    async def _leases(self) -> list[Row]:
        rows = await self.ctx.northbound.table("DHCP_Options", ["_uuid", "external_ids"])
        return [row for row in rows if rules.OWNER_NAME in row["external_ids"]]

    def inherited(self, pod: Obj, vm: Vm) -> dict[str, Any] | None:
        """The entry that a new pod takes over from a living one of the same VM. Raises LabError when that has none."""
        others = [p for p in self.pods_of(vm) if p["metadata"]["uid"] != pod["metadata"]["uid"] and not rules.ended(p)]
        entries = [entry for entry in map(podnotes.default_entry, others) if entry is not None]
        if others and not entries:
            raise LabError(f"wanted the address of VM {vm.key} from its pod", "that pod has none yet")
        return entries[0] if entries else None

    async def lease(self, vm: Vm, entry: dict[str, Any], port: str) -> None:
        """Let OVN's own DHCP server give the VM at ``port`` its address."""
        await self._write(rules.dhcp_words(await self._leases(), vm, podnotes.cidr_of(entry), port))

    async def proxy(self, _key: str = "") -> None:
        """Let the node's switch answer for every address that somebody on it believes to be near."""
        pods = [pod for pod in self.pods.items.values() if not rules.ended(pod)]
        used = [podnotes.address_of(entry) for entry in map(podnotes.default_entry, pods) if entry is not None]
        others = [member for name in self.zone.nodes.items if (member := self.zone.member(name)) not in (None, self.me)]
        wanted = rules.proxied(self.me, [m for m in others if m is not None], dict(self._homes.values()), used)
        if wanted != self._proxied:
            await self.ctx.northbound.ctl(
                "set", "Logical_Switch_Port", f"stor-{self.me.name}", f'options:arp_proxy="{wanted}"'
            )
            self._proxied = wanted
