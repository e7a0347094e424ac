"""What a node reads, gone wrong: attachments, annotations, policies, answers of a guest agent. Used, or refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.embedded.node import bridgeconf, guestagent, guestnotes, localnet, nad, podnetwork, podnotes
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.nmstate.desired import features, with_default_vlans
from lab.embedded.node.nmstate.errors import ApplyError
from lab.embedded.node.nmstate.notset import not_set
from lab.embedded.node.nmstate.parsing import parse, resolve
from lab.embedded.node.nmstate.restoration import restoration
from lab.embedded.node.nmstate.transition import transition
from lab.embedded.node.nmstate.verify import verify
from tests import hostile
from tests.unit.nmstate.nmstate_states import merged, node

DOCUMENTED = hostile.documented().values()
STATES = [d["spec"]["desiredState"] for d in DOCUMENTED if d["kind"] == "NodeNetworkConfigurationPolicy"]
LOCALNET = {
    "cniVersion": "0.3.1", "name": "vlan-2024", "type": "ovn-k8s-cni-overlay", "topology": "localnet", "mtu": 1400,
    "netAttachDefName": "default/x", "vlanID": 2024, "ipam": {}, "physicalNetworkName": "physnet",
    "subnets": "192.168.24.0/24", "excludeSubnets": "192.168.24.0/28", "allowPersistentIPs": True,
}  # fmt: skip
BRIDGE = {
    "cniVersion": "0.3.1", "name": "b",
    "plugins": [
        {"type": "bridge", "bridge": "br1", "vlan": 7, "mtu": 1400, "macspoofchk": True, "ipam": {},
         "portIsolation": True, "args": {"cni": {"mac": "02:00:00:00:00:01"}}},
        {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}, "promisc": True, "mtu": 1400},
    ],
}  # fmt: skip
TRUNK = {"type": "cnv-bridge", "bridge": "br1", "vlanTrunk": [{"minID": 1, "maxID": 9}, {"id": 12}], "name": "t"}
ME = podnetwork.Member("worker-1", 2, IPv4Network("10.128.0.0/23"), "chassis", "192.168.53.11")
NETWORKS = {"default": podnetwork.pod_entry(ME, IPv4Address("10.128.0.9")), "default/x": {
    "ip_addresses": None, "mac_address": "02:00:00:20:24:11", "role": "secondary",
}}  # fmt: skip
INTERFACES = [{
    "name": "eth0", "hardware-address": "02:00:00:20:24:11", "statistics": {"rx-bytes": 1},
    "ip-addresses": [{"ip-address": "192.168.24.11", "ip-address-type": "ipv4", "prefix": 24}],
}]  # fmt: skip
OS = {"name": "Fedora", "kernel-release": "6.1", "version": "41", "id": "fedora", "machine": "x86_64"}
REQUESTS = [{
    "name": "x", "namespace": "default", "mac": "02:00:00:20:24:11", "interface": "podcc4dd54e40a", "ips": ["10.0.0.1"],
}]  # fmt: skip


def attachment(config: str) -> None:
    """What the CNI and the zone controller do with a NAD."""
    found = {"metadata": {"namespace": "default", "name": "x"}, "spec": {"config": config}}
    with contextlib.suppress(CniError):
        network = nad.network_of(found, "default/x")
        if network.plugin == "ovn":
            nad.check_mapping(network, {"physnet": "br-ex"})
        else:
            bridgeconf.bridge_conf(network.conf)
            for plugin in network.chain[1:]:
                bridgeconf.tuning(plugin, "net1")
    net = localnet.localnet_of(found)
    if net is not None:
        words(net.switch, net.port, f"network_name={net.physical}")


def words(*parts: str) -> None:
    """Texts that become words of a command: nothing that ends one or begins an option."""
    for part in parts:
        assert isinstance(part, str)
        assert "\0" not in part
        assert not part.startswith("-")


def annotation(text: str) -> None:
    pod = {"metadata": {"namespace": "default", "name": "p", "uid": "u", "annotations": {nad.NETWORKS: text}}}
    with contextlib.suppress(CniError):
        for request in nad.requests(text, "default"):
            words(request.ifname)
    for key, request in localnet.requests_of(pod):
        str(request.get("mac") or "").lower()
        assert key.count("/") >= 1


def policy(state: Any) -> None:
    """The state as a policy's reconciler reads it, planned for a fresh node, and taken back."""
    document = with_default_vlans(state) if isinstance(state, dict) else {"interfaces": state}
    start = node()
    try:
        desired = parse(document)
        features(desired)
        target = merged(start, document)
        verify(resolve(desired, start), target)
    except ApplyError:
        return
    not_set(desired, filters=True)
    restoration(start, target, target)
    for line in transition(start, target).lines():
        assert line.isprintable()


def agent(text: str) -> None:
    """An answer of the guest's agent: plain data of a bounded size, whatever it says."""
    answer = json.loads(text)
    for entry in guestagent.interfaces(answer):
        assert len(json.dumps(entry)) < 20_000
    assert all(isinstance(value, str) for value in guestagent.os_info(answer).values())
    assert all(line.isprintable() for line in guestnotes.lines(answer))


def given_networks(text: str) -> None:
    """An annotation that anyone could have written: what is left of it is words of a command."""
    pod = {"metadata": {"annotations": {podnotes.POD_NETWORKS: text}}}
    for entry in [*podnotes.entries(pod).values(), *filter(None, [podnotes.default_entry(pod)])]:
        for part in (entry["mac_address"], *(entry.get("ip_addresses") or ()), *(entry.get("gateway_ips") or ())):
            assert " " not in part
            assert part.isprintable()


READERS = {
    "localnet": (attachment, LOCALNET),
    "bridge": (attachment, BRIDGE),
    "trunk": (attachment, TRUNK),
    "annotation": (annotation, REQUESTS),
    "networks": (given_networks, NETWORKS),
    "interfaces": (agent, INTERFACES),
    "osinfo": (agent, OS),
    "notes": (agent, {"count": 4, "buf-b64": "YSBsaW5lCg==", "eof": True}),
}


@pytest.mark.parametrize("name", READERS)
@hostile.few(60)
@given(data=st.data())
def test_json_in_an_object_gone_wrong(name: str, data: st.DataObject) -> None:
    read, good = READERS[name]
    read(json.dumps(data.draw(hostile.mutated(good))))


@hostile.few(200)
@given(data=st.data())
def test_a_policy_gone_wrong(data: st.DataObject) -> None:
    policy(data.draw(hostile.mutated(data.draw(st.sampled_from(STATES)))))


def texts() -> Iterator[str]:
    yield from ("[" * 100_000, "[[" + '{"a":' * 50_000, "9" * 5000, '"', "null", "7", "[null]", '{"plugins": [null]}')
    yield from (json.dumps({**LOCALNET, "name": name}) for name in ("--x", "a\0b", "a b", '"', "a,b", ""))
    yield from (json.dumps({**LOCALNET, key: value}) for key in LOCALNET for value in ("x", [], {}, 7, None, [{}]))


@pytest.mark.parametrize("text", list(texts()), ids=lambda text: text[:30])
def test_texts_that_could_break_a_reader(text: str) -> None:
    attachment(text)
    annotation(text)
    given_networks(text)
