"""The zone controller: pods and network attachments of the API become logical switches and ports.

As ovnkube-controller does in interconnect mode, each node writes only its own northbound database.  A
localnet network is a switch with one localnet port in every zone; a pod's port exists in the zone of its
node.  During a live migration exactly one of the two launcher pods' ports is enabled: the switch-over
happens when the target pod carries the ready timestamp (facts: base_network_controller_user_defined.go).
It must not touch the node's links: that is the CNI's work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from dataclasses import dataclass
from typing import Any

from lab.embedded.kube import KubeError, Obj
from lab.embedded.model.kinds import NAD, POD
from lab.embedded.node import podnetwork
from lab.embedded.node.addresses import Pool
from lab.embedded.node.context import NodeContext
from lab.embedded.node.localnet import Localnet, localnet_of, made_up_mac, port_name, requests_of
from lab.embedded.node.names import iface_id
from lab.embedded.node.ovnzone import ZoneBuilder
from lab.embedded.node.podnotes import MAC, POD_NETWORKS, address_of, default_entry, entries
from lab.embedded.node.vmroutes import DOMAIN, ENDED, TARGET_READY, vm_of
from lab.embedded.node.vmzone import VmZone, owner_of
from lab.embedded.node.zone import OVN_RUN

log = logging.getLogger(__name__)
PIDFILE = OVN_RUN / "ovnkube-controller.pid"
"""SIGHUP to it is a restart of this controller, as deleting the node's ovnkube-node pod is."""


@dataclass(frozen=True)
class Port:
    """A pod's logical port as it was written; ``addresses`` as OVN takes them, ``version`` the pod's UID or empty."""

    switch: str
    addresses: str
    on: bool = True
    version: str = ""


def enabled(pod: Obj, siblings: list[Obj]) -> bool:
    """Whether ``pod``'s port may carry traffic, given all live launcher pods of its VM.

    One pod alone: yes.  During a migration the newest pod is the target: it is enabled once it is ready,
    and from then on the others are not; a target that ended without being ready changes nothing.
    """
    live = [p for p in siblings if p.get("status", {}).get("phase") not in ENDED]
    if len(live) < 2:
        return True
    target = max(live, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"]))
    ready = TARGET_READY in _notes(target)
    return (pod["metadata"]["uid"] == target["metadata"]["uid"]) is ready


def port_words(name: str, namespace: str, port: Port) -> list[str]:
    """The words of `ovn-nbctl` that write a pod's port.

    One that is off has no addresses, as upstream's (addLogicalPortToNetwork): with them OVN would drop, on this node,
    what is for the guest that still runs, or already runs, on another.
    """
    addresses = [port.addresses] if port.on else []
    options = [f"options:iface-id-ver={port.version}"] if port.version else []
    return [
        "--may-exist", "lsp-add", port.switch, name,
        "--", "lsp-set-addresses", name, *addresses,
        "--", "lsp-set-port-security", name, port.addresses,
        "--", "lsp-set-enabled", name, "enabled" if port.on else "disabled",
        "--", "set", "Logical_Switch_Port", name,
        f"external_ids:namespace={namespace}", "external_ids:pod=true", *options,
    ]  # fmt: skip


def _notes(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


class OvnKube:
    """Keeps this zone's northbound database in step with the API."""

    def __init__(self, ctx: NodeContext) -> None:
        self.ctx = ctx
        self.pods = ctx.informers.get(POD)
        self.nads = ctx.informers.get(NAD)
        self.zone = ZoneBuilder(ctx, lambda node: self._queue("node", node))
        self.pool = Pool(self.zone.me.subnet)
        self.vms = VmZone(ctx, self.zone, self.pool)
        self._dirty: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._waiting: set[tuple[str, str]] = set()
        self._networks: dict[str, Localnet] = {}
        self._ports: dict[str, dict[str, Port]] = {}

    async def run(self) -> None:
        """Build the zone, then follow nodes, NADs and pods until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._queue, "begin", "")
        PIDFILE.write_text(f"{os.getpid()}\n")
        await self.zone.build()
        await self.nads.synced()
        await self.pods.synced()
        await self._recall()
        await self.vms.begin()
        self.nads.subscribe(lambda change, obj: self._mark("nad", obj))
        self.pods.subscribe(self._mark_pod)
        work = {
            "nad": self._network,
            "pod": self._pod,
            "node": self.zone.neighbour,
            "vm": self.vms.look,
            "proxy": self.vms.proxy,
            "begin": self._begin_anew,
        }
        while True:
            what, key = await self._dirty.get()
            self._waiting.discard((what, key))
            try:
                await work[what](key)
            except KubeError as refusal:
                log.warning("%s %s: %s", what, key, refusal)
                if not refusal.not_found:
                    asyncio.get_running_loop().call_later(0.5, self._queue, what, key)
            except Exception:
                log.exception("%s %s", what, key)
                asyncio.get_running_loop().call_later(1.0, self._queue, what, key)

    async def _begin_anew(self, _key: str) -> None:
        """A restart: nothing that was remembered counts, and every pod is looked at again."""
        log.info("starting anew")
        self._ports.clear()
        await self.zone.own()
        await self._recall()
        await self.vms.begin()
        for pod in self.pods.items.values():
            self._mark_pod("ADDED", pod)

    async def _recall(self) -> None:
        """What an earlier agent left: addresses given stay given, ports of pods that went meanwhile go."""
        for key, pod in self.pods.items.items():
            entry, vm = default_entry(pod), vm_of(pod)
            if entry is not None and pod.get("status", {}).get("phase") not in ENDED and (vm or self._runs_here(pod)):
                self.pool.hold(owner_of(vm) if vm else key, address_of(entry))
        ports = set()
        for pod in filter(self._runs_here, self.pods.items.values()):
            names = [port_name(nad, pod) for nad, _ in requests_of(pod)]
            ports |= {iface_id(pod["metadata"]["namespace"], pod["metadata"]["name"]), *names}
        for row in await self.ctx.northbound.table("Logical_Switch_Port", ["name"], where="external_ids:pod=true"):
            if row["name"] not in ports:
                await self.ctx.northbound.ctl("--if-exists", "lsp-del", row["name"])

    def _runs_here(self, pod: Obj | None) -> bool:
        return (
            pod is not None
            and pod.get("spec", {}).get("nodeName") == self.ctx.node.name
            and pod.get("status", {}).get("phase") not in ENDED
        )

    def _queue(self, what: str, key: str) -> None:
        if (what, key) not in self._waiting:
            self._waiting.add((what, key))
            self._dirty.put_nowait((what, key))

    def _mark(self, what: str, obj: Obj) -> None:
        self._queue(what, f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")

    def _mark_pod(self, change: str, pod: Obj) -> None:
        """A launcher pod also concerns its siblings here: one of them may have to be switched.

        One that takes its address along concerns every zone.
        """
        if change == "DELETED" and self._is_own(pod):
            self._queue("begin", "")
        vm = vm_of(pod)
        if vm is not None:
            self._queue("vm", vm.key)
        elif self.vms.moving:
            self._queue("proxy", "")
        domain = _notes(pod).get(DOMAIN)
        for other in [pod] if domain is None else self._siblings(pod) or [pod]:
            if other.get("spec", {}).get("nodeName") == self.ctx.node.name:
                self._mark("pod", other)
        if pod.get("spec", {}).get("nodeName") == self.ctx.node.name:
            self._mark("pod", pod)

    def _is_own(self, pod: Obj) -> bool:
        """Whether this controller runs in ``pod``."""
        labels = pod["metadata"].get("labels") or {}
        return labels.get("app") == "ovnkube-node" and pod["spec"].get("nodeName") == self.ctx.node.name

    def _siblings(self, pod: Obj) -> list[Obj]:
        namespace, domain = pod["metadata"]["namespace"], _notes(pod).get(DOMAIN)
        if domain is None:
            return [pod]
        return [
            p for p in self.pods.items.values()
            if p["metadata"]["namespace"] == namespace and _notes(p).get(DOMAIN) == domain
        ]  # fmt: skip

    async def _network(self, key: str) -> None:
        nad = self.nads.items.get(key)
        wanted = localnet_of(nad) if nad else None
        known = self._networks.pop(key, None)
        if wanted is not None:
            self._networks[key] = wanted
            await self._make_switch(wanted)
            for pod in list(self.pods.items.values()):
                if pod.get("spec", {}).get("nodeName") == self.ctx.node.name:
                    self._mark("pod", pod)
        if known is not None and known.name not in {net.name for net in self._networks.values()}:
            await self.ctx.northbound.ctl("--if-exists", "ls-del", known.switch)

    async def _make_switch(self, net: Localnet) -> None:
        words = ["--may-exist", "ls-add", net.switch,
                 "--", "--may-exist", "lsp-add", net.switch, net.port,
                 "--", "lsp-set-type", net.port, "localnet",
                 "--", "lsp-set-addresses", net.port, "unknown",
                 "--", "lsp-set-options", net.port, f"network_name={net.physical}"]  # fmt: skip
        if net.vlan is not None:
            words += ["--", "set", "Logical_Switch_Port", net.port, f"tag_request={net.vlan}"]
        await self.ctx.northbound.ctl(*words)

    async def _pod(self, key: str) -> None:
        pod = self.pods.items.get(key)
        if pod is None or not self._runs_here(pod):
            for port in self._ports.pop(key, {}):
                await self.ctx.northbound.ctl("--if-exists", "lsp-del", port)
            self.pool.release(key)
            return
        notes = entries(pod)
        found = dict(notes)
        if not pod["spec"].get("hostNetwork"):
            found["default"] = await self._default(key, pod)
        for nad_key, request in requests_of(pod):
            net = self._networks.get(nad_key)
            if net is None:
                continue
            mac = str(
                request.get("mac") or notes.get(nad_key, {}).get("mac_address") or made_up_mac(pod, nad_key)
            ).lower()
            if not MAC.fullmatch(mac):
                # The CNI refuses the pod, and says why.
                continue
            wanted = Port(net.switch, mac, on=enabled(pod, self._siblings(pod)))
            await self._make_port(key, pod, port_name(nad_key, pod), wanted)
            found[nad_key] = {"ip_addresses": None, "mac_address": mac, "role": "secondary"}
        if found != notes:
            note = {"metadata": {"annotations": {POD_NETWORKS: json.dumps(found, separators=(",", ":"))}}}
            await self.ctx.kube.patch(POD, pod["metadata"]["name"], pod["metadata"]["namespace"], note)

    async def _default(self, key: str, pod: Obj) -> dict[str, Any]:
        """The pod's leg in the default network; an address it has been given stays its own, a VM's stays the VM's."""
        vm, meta = vm_of(pod), pod["metadata"]
        owner = owner_of(vm) if vm else key
        entry = default_entry(pod) or (self.vms.inherited(pod, vm) if vm else None)
        if entry is None or not self.pool.hold(owner, address_of(entry)):
            entry = podnetwork.pod_entry(self.zone.me, self.pool.take(owner))
        addresses, name = f"{entry['mac_address']} {address_of(entry)}", iface_id(meta["namespace"], meta["name"])
        made = await self._make_port(key, pod, name, Port(self.zone.me.name, addresses, version=meta["uid"]))
        if made and vm is not None:
            await self.vms.lease(vm, entry, name)
        return entry

    async def _make_port(self, key: str, pod: Obj, name: str, port: Port) -> bool:
        """Write a pod's port; False when it was written before."""
        ports = self._ports.setdefault(key, {})
        if ports.get(name) == port:
            return False
        await self.ctx.northbound.ctl(*port_words(name, pod["metadata"]["namespace"], port))
        log.info("port %s %s on %s", name, "enabled" if port.on else "disabled", port.switch)
        ports[name] = port
        return True
