"""Cables of a pod: Multus, the OVN-Kubernetes plugin and the bridge plugin of one node.

A pod's namespace, its veth pairs and its OVS ports are made here and removed in reverse, also those that an
earlier agent left.  Which logical ports exist in OVN is ovnkube's work: this room waits for its word on the
pod (`k8s.ovn.org/pod-networks`) and then plugs the cable in.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from lab.embedded.host import netns as namespaces
from lab.embedded.host.command import CommandFailed
from lab.embedded.host.link import ip
from lab.embedded.model.kinds import NAD, POD
from lab.embedded.node import bridgeplugin, cable, podnotes, spoofcheck
from lab.embedded.node import nad as nads
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.context import NodeContext
from lab.embedded.node.launcher import Attachment
from lab.embedded.node.nad import Network, Request
from lab.embedded.node.names import host_port, iface_id, netns_name
from lab.embedded.node.vmroutes import ALLOW_BRIDGE

log = logging.getLogger(__name__)
Obj = dict[str, Any]
INTEGRATION = "br-int"
ANNOTATION_SECONDS = 20.0
BIND_SECONDS = 20


def notes(obj: Obj) -> dict[str, str]:
    """An object's annotations, never None."""
    return obj["metadata"].get("annotations") or {}


class Cni:
    """Attaches pods of one node to their networks."""

    def __init__(self, ctx: NodeContext) -> None:
        self.ctx = ctx
        self.pods = ctx.informers.get(POD)
        self.nads = ctx.informers.get(NAD)
        self._checked: set[str] = set()
        """UIDs of the pods with a spoof check."""

    async def clean(self) -> None:
        """Remove what an earlier agent left: pod namespaces, cables and their ports."""
        for port in await self.ctx.ovs.table("Interface", ["name", "external_ids"]):
            if "sandbox" in port["external_ids"]:
                await self.ctx.ovs.vsctl("--if-exists", "del-port", INTEGRATION, port["name"])
        # A container's process of an earlier agent keeps the namespace, and so the cable, alive.
        for name in cable.laid():
            await cable.unplug(name)
        await spoofcheck.teardown()
        for path in Path("/run/netns").glob("pod-*"):
            await namespaces.delete(path.name)

    async def add(self, pod: Obj) -> list[Attachment]:
        """Make the pod's namespace with all its interfaces; on failure nothing is left. Raises CniError."""
        uid = pod["metadata"]["uid"]
        name = netns_name(uid)
        if not Path(namespaces.path(name)).exists():
            await namespaces.create(name)
        try:
            return await self._attach(pod, name)
        except BaseException:
            await self.delete(uid)
            raise

    async def delete(self, uid: str) -> None:
        """Unplug and remove; what is already gone is no error."""
        ports = await self.ctx.ovs.table("Interface", ["name", "external_ids"], where=f'external_ids:sandbox="{uid}"')
        for port in ports:
            await self.ctx.ovs.vsctl("--if-exists", "del-port", INTEGRATION, port["name"])
        # The namespace takes its cables along some time after it is deleted: a bridge would keep the port so long.
        for name in set(cable.laid(uid)) - {port["name"] for port in ports}:
            await cable.unplug(name)
        if uid in self._checked:
            await bridgeplugin.delete(uid)
            self._checked.discard(uid)
        await namespaces.delete(netns_name(uid))

    async def _attach(self, pod: Obj, netns: str) -> list[Attachment]:
        meta = pod["metadata"]
        wanted = nads.requests(notes(pod).get(nads.NETWORKS, ""), meta["namespace"])
        checked = [(request, await self._network(request)) for request in wanted]
        found = [await self._default(pod, netns)]
        if any(network.conf.get("macspoofchk") for _, network in checked):
            self._checked.add(meta["uid"])
        for index, (request, network) in enumerate(checked, 1):
            try:
                if network.plugin == "ovn":
                    found.append(await self._ovn(pod, netns, request, network, index))
                else:
                    found.append(await bridgeplugin.add(pod, netns, request, network, index))
            except CniError as error:
                where = f"[{meta['namespace']}/{meta['name']}/{meta['uid']}:{network.name}]"
                text = f'{where}: error adding container to network "{network.name}": {error}'
                raise CniError(text, reason=error.reason) from error
            except CommandFailed as error:
                raise CniError(f'error adding container to network "{network.name}": {error.found}') from error
        return found

    async def _network(self, request: Request) -> Network:
        found = self.nads.items.get(request.key)
        if found is None:
            raise nads.not_found(request)
        return nads.network_of(found, request.key)

    async def _word(self, pod: Obj, key: str) -> Obj:
        """ovnkube's entry for one network of the pod."""
        pod_key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"

        def entry(items: dict[str, Obj]) -> Any:
            return podnotes.entries(items[pod_key]).get(key) if pod_key in items else None

        try:
            await self.pods.wait_for(lambda items: pod_key not in items or bool(entry(items)), ANNOTATION_SECONDS)
        except TimeoutError:
            raise CniError(
                f"failed to get pod annotation: timed out waiting for annotations of network {key}"
            ) from None
        found = entry(self.pods.items)
        if not isinstance(found, dict):
            raise CniError(f"failed to get pod annotation: pod {pod_key} is gone")
        return found

    async def _default(self, pod: Obj, netns: str) -> Attachment:
        word = await self._word(pod, "default")
        meta = pod["metadata"]
        gateways = [str(gateway) for gateway in word.get("gateway_ips") or [word.get("gateway_ip")] if gateway]
        attachment = Attachment(
            "eth0",
            "ovn-kubernetes",
            word["mac_address"],
            tuple(word.get("ip_addresses") or [word["ip_address"]]),
            tuple(gateways),
            int(word.get("mtu") or 1400),
            default=True,
            held=ALLOW_BRIDGE not in notes(pod),
        )
        await self._plug(pod, netns, attachment, iface_id(meta["namespace"], meta["name"]), 0, "default", "default")
        # A VM that keeps its address over migrations gets it by OVN's own DHCP: the pod itself must not hold it.
        if attachment.held:
            lines = [f"addr add {cidr} dev eth0" for cidr in attachment.addresses]
            lines += [f"route add {route['dest']} via {route['nextHop']}" for route in word.get("routes") or []]
            lines += [f"route replace default via {gateway}" for gateway in gateways[:1]]
            await ip(lines, netns=namespaces.path(netns))
        return attachment

    async def _ovn(self, pod: Obj, netns: str, request: Request, network: Network, index: int) -> Attachment:
        nads.check_mapping(network, await self.bridge_mappings())
        word = await self._word(pod, request.key)
        attachment = Attachment(
            request.ifname,
            request.key,
            word["mac_address"],
            tuple(word.get("ip_addresses") or ()),
            mtu=int(network.conf.get("mtu") or 1500),
        )
        port = iface_id(pod["metadata"]["namespace"], pod["metadata"]["name"], request.key)
        await self._plug(pod, netns, attachment, port, index, network.name, request.key)
        if attachment.addresses:
            await ip([f"addr add {a} dev {request.ifname}" for a in attachment.addresses], netns=namespaces.path(netns))
        return attachment

    async def bridge_mappings(self) -> dict[str, str]:
        """The node's bridge by localnet, as ovn-controller reads them."""
        rows = await self.ctx.ovs.table("Open_vSwitch", ["external_ids"])
        return nads.mappings(rows[0]["external_ids"].get("ovn-bridge-mappings", ""))

    async def _plug(
        self, pod: Obj, netns: str, attachment: Attachment, port: str, index: int, network: str, nad: str
    ) -> None:
        """veth and OVS port; returns when OVN has installed the port's flows."""
        uid = pod["metadata"]["uid"]
        host = host_port(uid, index)
        await cable.lay(netns, host, attachment)
        ids = {
            "iface-id": port,
            "iface-id-ver": uid,
            "attached_mac": attachment.mac,
            "sandbox": uid,
            "k8s.ovn.org/network": network,
            "k8s.ovn.org/nad": nad,
        }
        if attachment.addresses:
            ids["ip_addresses"] = ",".join(attachment.addresses)
        await self.ctx.ovs.vsctl(
            "--may-exist", "add-port", INTEGRATION, host, "other_config:transient=true",
            "--", "set", "Interface", host, *(f"external_ids:{key}={json.dumps(value)}" for key, value in ids.items()),
        )  # fmt: skip
        try:
            await self.ctx.ovs.ctl(
                f"--timeout={BIND_SECONDS}", "wait-until", "Interface", host, "external_ids:ovn-installed=true",
                timeout=BIND_SECONDS + 5,
            )  # fmt: skip
        except CommandFailed:
            addresses = list(attachment.addresses)
            raise CniError(
                f"timed out waiting for OVS port binding (ovn-installed) for {attachment.mac} {addresses}"
            ) from None


def network_status(attachments: list[Attachment]) -> str:
    """The `k8s.v1.cni.cncf.io/network-status` annotation."""
    found = []
    for attachment in attachments:
        entry: Obj = {"name": attachment.network, "interface": attachment.ifname}
        if attachment.addresses:
            entry["ips"] = [cidr.split("/")[0] for cidr in attachment.addresses]
        entry["mac"] = attachment.mac
        if attachment.default:
            entry["default"] = True
        found.append({**entry, "dns": {}})
    return json.dumps(found)
