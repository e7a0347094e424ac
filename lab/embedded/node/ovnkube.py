"""The zone controller: pods and network attachments of the API become logical switches and ports.

As ovnkube-controller does in interconnect mode, each node writes only its own northbound database.  A
localnet network is a switch with one localnet port in every zone; a pod's port exists in the zone of its
node.  During a live migration exactly one of the two launcher pods' ports is enabled: the switch-over
happens when the target pod carries the ready timestamp (facts: base_network_controller_user_defined.go).
It must not touch the node's links: that is the CNI's work.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.embedded.kube import KubeError, Obj
from lab.embedded.model.kinds import NAD, POD
from lab.embedded.node.context import NodeContext

log = logging.getLogger(__name__)
POD_NETWORKS = "k8s.ovn.org/pod-networks"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
DOMAIN = "kubevirt.io/domain"
ENDED = ("Succeeded", "Failed")


def prefix(network: str) -> str:
    """Upstream's prefix of a secondary network's objects: ``vlan-2024`` -> ``vlan.2024_``."""
    return network.replace("-", ".").replace("/", ".") + "_"


def port_name(nad_key: str, pod: Obj) -> str:
    """The logical port of ``pod`` on the network of the NAD ``namespace/name``; also its iface-id."""
    meta = pod["metadata"]
    return f"{prefix(nad_key)}{meta['namespace']}_{meta['name']}"


@dataclass(frozen=True)
class Localnet:
    """A localnet network as its NADs describe it; several NADs may name the same one."""

    name: str
    physical: str
    vlan: int | None

    @property
    def switch(self) -> str:
        return f"{prefix(self.name)}ovn_localnet_switch"

    @property
    def port(self) -> str:
        return f"{prefix(self.name)}ovn_localnet_port"


def localnet_of(nad: Obj) -> Localnet | None:
    """The localnet network a NAD asks for, or None when it is of another type or unusable.

    An unusable one is reported by the CNI when a pod wants it, as upstream does.
    """
    try:
        config = json.loads(nad.get("spec", {}).get("config") or "")
    except ValueError:
        return None
    if not isinstance(config, dict) or config.get("type") != "ovn-k8s-cni-overlay":
        return None
    meta = nad["metadata"]
    name, vlan = config.get("name"), config.get("vlanID")
    if config.get("topology") != "localnet" or not isinstance(name, str) or not name:
        return None
    if config.get("netAttachDefName") != f"{meta['namespace']}/{meta['name']}":
        return None
    if vlan is not None and not (isinstance(vlan, int) and 1 <= vlan <= 4094):
        return None
    return Localnet(name, config.get("physicalNetworkName") or name, vlan)


def requests_of(pod: Obj) -> Iterator[tuple[str, dict[str, Any]]]:
    """The NAD keys a pod asks for with their options; a malformed annotation asks for nothing here."""
    meta = pod["metadata"]
    text = (meta.get("annotations") or {}).get(NETWORKS, "").strip()
    if not text:
        return
    try:
        wanted = json.loads(text) if text.startswith("[") else [_short(part) for part in text.split(",")]
    except ValueError:
        return
    for item in wanted:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield f"{item.get('namespace') or meta['namespace']}/{item['name']}", item


def _short(part: str) -> dict[str, Any]:
    where, _, interface = part.strip().partition("@")
    namespace, _, name = where.rpartition("/")
    return {"name": name, "namespace": namespace or None, "interface": interface}


def made_up_mac(pod: Obj, nad_key: str) -> str:
    """A locally administered MAC for an interface nobody fixed one for; stable for the pod."""
    digest = hashlib.sha256(f"{pod['metadata'].get('uid')}/{nad_key}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


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


def _notes(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


class OvnKube:
    """Keeps this zone's northbound database in step with the API."""

    def __init__(self, ctx: NodeContext) -> None:
        self.ctx = ctx
        self.pods = ctx.informers.get(POD)
        self.nads = ctx.informers.get(NAD)
        self._dirty: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._waiting: set[tuple[str, str]] = set()
        self._networks: dict[str, Localnet] = {}
        self._ports: dict[str, dict[str, tuple[str, bool]]] = {}

    async def run(self) -> None:
        """Follow NADs and pods until cancelled."""
        self.nads.subscribe(lambda change, obj: self._mark("nad", obj))
        self.pods.subscribe(lambda change, obj: self._mark_pod(obj))
        await self.nads.synced()
        await self.pods.synced()
        while True:
            what, key = await self._dirty.get()
            self._waiting.discard((what, key))
            try:
                await (self._network(key) if what == "nad" else self._pod(key))
            except KubeError as refusal:
                log.warning("%s %s: %s", what, key, refusal)
                if not refusal.not_found:
                    asyncio.get_running_loop().call_later(0.5, self._queue, what, key)
            except Exception:
                log.exception("%s %s", what, key)
                asyncio.get_running_loop().call_later(1.0, self._queue, what, key)

    def _queue(self, what: str, key: str) -> None:
        if (what, key) not in self._waiting:
            self._waiting.add((what, key))
            self._dirty.put_nowait((what, key))

    def _mark(self, what: str, obj: Obj) -> None:
        self._queue(what, f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")

    def _mark_pod(self, pod: Obj) -> None:
        """A launcher pod also concerns its siblings here: one of them may have to be switched."""
        domain = _notes(pod).get(DOMAIN)
        for other in [pod] if domain is None else self._siblings(pod) or [pod]:
            if other.get("spec", {}).get("nodeName") == self.ctx.node.name:
                self._mark("pod", other)
        if pod.get("spec", {}).get("nodeName") == self.ctx.node.name:
            self._mark("pod", pod)

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
        gone = pod is None or pod.get("status", {}).get("phase") in ENDED
        if gone or pod is None:
            for port in self._ports.pop(key, {}):
                await self.ctx.northbound.ctl("--if-exists", "lsp-del", port)
            return
        notes = json.loads(_notes(pod).get(POD_NETWORKS) or "{}")
        found = dict(notes)
        for nad_key, request in requests_of(pod):
            net = self._networks.get(nad_key)
            if net is None:
                continue
            mac = str(request.get("mac") or "") or notes.get(nad_key, {}).get("mac_address")
            mac = (mac or made_up_mac(pod, nad_key)).lower()
            await self._make_port(key, pod, net, port_name(nad_key, pod), mac)
            found[nad_key] = {"ip_addresses": None, "mac_address": mac, "role": "secondary"}
        if found != notes:
            note = {"metadata": {"annotations": {POD_NETWORKS: json.dumps(found, separators=(",", ":"))}}}
            await self.ctx.kube.patch(POD, pod["metadata"]["name"], pod["metadata"]["namespace"], note)

    async def _make_port(self, key: str, pod: Obj, net: Localnet, port: str, mac: str) -> None:
        on = enabled(pod, self._siblings(pod))
        ports = self._ports.setdefault(key, {})
        if ports.get(port) == (mac, on):
            return
        meta = pod["metadata"]
        await self.ctx.northbound.ctl(
            "--may-exist", "lsp-add", net.switch, port,
            "--", "lsp-set-addresses", port, mac,
            "--", "lsp-set-port-security", port, mac,
            "--", "lsp-set-enabled", port, "enabled" if on else "disabled",
            "--", "set", "Logical_Switch_Port", port,
            f"external_ids:namespace={meta['namespace']}", "external_ids:pod=true",
        )  # fmt: skip
        log.info("port %s %s on %s", port, "enabled" if on else "disabled", net.switch)
        ports[port] = (mac, on)
