"""The bridge plugin and the tuning plugins after it, on one node: a pod's cable into a Linux bridge of the node.

As upstream, a bridge that is missing is made, without any uplink, and is left behind: whoever wants to be sure that it
is there says so with `k8s.v1.cni.cncf.io/resourceName` (the kubelet publishes the bridges that there are).  The pod's
end of the cable is brought up unless the attachment forbids it, also as upstream, and then its own IPv6 sends frames
with the guest's MAC address: during a migration that draws the switches to the target before the guest is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lab.embedded.host import netns as namespaces
from lab.embedded.host.command import CommandFailed, run
from lab.embedded.host.link import ip, ip_json
from lab.embedded.model.vlans import spans
from lab.embedded.node import bridgeconf, cable, spoofcheck
from lab.embedded.node.bridgeconf import BridgeConf, Obj, Tuning
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.launcher import Attachment
from lab.embedded.node.nad import Network, Request
from lab.embedded.node.names import host_port, stable_mac

KERNEL_MTU = 1500
OLD = Path("/run/virtlab/bridge-plugin-old")
"""While this file is there the plugin is one from before v0.8.0, as a node has it that updates passed by."""
NO_FILTERING = "the bridges of this kernel do not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)"


async def add(pod: Obj, netns: str, request: Request, network: Network, index: int) -> Attachment:
    """Run the network's plugins in their order. Raises CniError or CommandFailed; the caller unplugs then."""
    uid = pod["metadata"]["uid"]
    told = {key: value for key, value in network.conf.items() if key in bridgeconf.ALWAYS or not OLD.exists()}
    conf = bridgeconf.bridge_conf(told, request.mac)
    mac = conf.mac or stable_mac(uid, request.key)
    attachment = Attachment(request.ifname, request.key, mac, mtu=conf.mtu or KERNEL_MTU)
    host = host_port(uid, index)
    await _ensure_bridge(conf)
    await cable.lay(netns, host, attachment, up=False)
    if conf.spoof_check:
        await spoofcheck.setup(host, mac, container_of(uid), request.ifname)
    await _plug(host, conf)
    if not conf.interface_down:
        await ip([f"link set {request.ifname} up"], netns=namespaces.path(netns))
    for tuner in network.chain[1:]:
        found = bridgeconf.tuning(tuner, request.ifname, request.mac)
        await _tune(found, request.ifname, namespaces.path(netns))
        attachment = replace(attachment, mac=found.mac or attachment.mac, mtu=found.mtu or attachment.mtu)
    return attachment


async def delete(uid: str) -> None:
    """Take back what does not go with the pod's namespace."""
    await spoofcheck.teardown(spoofcheck.chain_of(container_of(uid), ""))


def container_of(uid: str) -> str:
    """The sandbox's ID, as CNI plugins get it."""
    return uid.replace("-", "")


async def _ensure_bridge(conf: BridgeConf) -> None:
    found = await _link(conf.bridge)
    if found is None:
        words = ["ip", "link", "add", conf.bridge, *(["mtu", str(conf.mtu)] if conf.mtu else []), "type", "bridge"]
        try:
            await run([*words, *(["vlan_filtering", "1"] if conf.tags else [])])
        except CommandFailed as error:
            why = _answer(error)
            text = f"{why}: {NO_FILTERING}" if conf.tags and why == "operation not supported" else why
            raise CniError(f'failed to create bridge "{conf.bridge}": could not add "{conf.bridge}": {text}') from error
    elif found.get("linkinfo", {}).get("info_kind") != "bridge":
        raise CniError(f'failed to create bridge "{conf.bridge}": "{conf.bridge}" already exists but is not a bridge')
    await run(["ip", "link", "set", conf.bridge, *(["promisc", "on"] if conf.promiscuous else []), "up"])


async def _link(name: str) -> Obj | None:
    links: list[Obj] = await ip_json(["link", "show"])
    return next((link for link in links if link["ifname"] == name), None)


async def _plug(host: str, conf: BridgeConf) -> None:
    await run(["ip", "link", "set", host, "master", conf.bridge])
    flags = [*(["hairpin", "on"] if conf.hairpin else []), *(["isolated", "on"] if conf.isolated else [])]
    if flags:
        await run(["ip", "link", "set", host, "type", "bridge_slave", *flags])
    if conf.tags:
        await _tag(host, conf)


async def _tag(host: str, conf: BridgeConf) -> None:
    """The port's VLANs; refused where they would not tag anything, since a silent port would be in the wrong VLAN."""
    wanted = f"vlan {conf.vlan}" if conf.vlan else f"vlanTrunk {' '.join(spans(conf.trunk))}"
    link = await _link(conf.bridge) or {}
    filtering = link.get("linkinfo", {}).get("info_data", {}).get("vlan_filtering")
    try:
        for vid in [] if conf.preserve_default_vlan else await _vlans(host):
            await run(["bridge", "vlan", "del", "dev", host, "vid", str(vid)])
        if conf.vlan:
            await run(["bridge", "vlan", "add", "dev", host, "vid", str(conf.vlan), "pvid", "untagged"])
        for vlans in spans(conf.trunk):
            await run(["bridge", "vlan", "add", "dev", host, "vid", vlans])
    except CommandFailed as error:
        why = _answer(error)
        text = f"{why}: {NO_FILTERING}" if why == "operation not supported" else why
        raise CniError(f'failed to setup vlan tag on interface "{host}" ({wanted}): {text}') from error
    if not filtering:
        raise CniError(
            f'failed to setup vlan tag on interface "{host}" ({wanted}): vlan_filtering of {conf.bridge} is off, '
            "so that frames would pass untagged"
        )


async def _vlans(port: str) -> list[int]:
    said = (await run(["bridge", "-j", "vlan", "show", "dev", port])).stdout.strip()
    return [entry["vlan"] for found in json.loads(said or "[]") for entry in found.get("vlans") or []]


async def _tune(wanted: Tuning, ifname: str, netns: str) -> None:
    if wanted.sysctls:
        await namespaces.call_in(netns, lambda: _write(wanted.sysctls))
    words = [*(["address", wanted.mac] if wanted.mac else []), *(["mtu", str(wanted.mtu)] if wanted.mtu else [])]
    words += ["promisc", "on"] if wanted.promiscuous else []
    if wanted.allmulti is not None:
        words += ["allmulticast", "on" if wanted.allmulti else "off"]
    if words:
        await run(["ip", "link", "set", "dev", ifname, *words], netns=netns)


def _write(sysctls: Mapping[str, str]) -> None:
    for path, value in sysctls.items():
        try:
            Path(path).write_text(value)
        except OSError as error:
            raise CniError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


def _answer(error: CommandFailed) -> str:
    """The kernel's own word, as Go prints it: lower case, without who said it."""
    said = (error.result.stderr.strip() or error.found).splitlines()
    return next((line for line in said if line), "").removeprefix("RTNETLINK answers: ").removeprefix("Error: ").lower()
