"""What a pod asks for and what attachment definitions say, with upstream's words for every mistake."""

import json
from typing import Any

import pytest

from lab.embedded.node import nad
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.nad import Request

LOCALNET: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "name": "vlan-2024",
    "type": "ovn-k8s-cni-overlay",
    "topology": "localnet",
    "netAttachDefName": "default/vlan-2024",
    "vlanID": 2024,
    "ipam": {},
}


def definition(config: Any, name: str = "vlan-2024") -> dict[str, Any]:
    text = config if isinstance(config, str) else json.dumps(config)
    return {"metadata": {"namespace": "default", "name": name}, "spec": {"config": text}}


def network(config: Any) -> nad.Network:
    return nad.network_of(definition(config), "default/vlan-2024")


def test_requests_in_both_forms() -> None:
    assert nad.requests("a, ns/b@lan0", "demo") == [Request("demo", "a", "net1"), Request("ns", "b", "lan0")]
    full = {"name": "vlan-2024", "namespace": "default", "mac": "02:00:00:20:24:11", "interface": "podcc4dd54e40a"}
    text = json.dumps([full, {"name": "x"}])
    assert nad.requests(text, "demo") == [
        Request("default", "vlan-2024", "podcc4dd54e40a", "02:00:00:20:24:11"),
        Request("demo", "x", "net2"),
    ]
    assert nad.requests("", "demo") == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"interface": "net1 netns 1"}, "interface name contains / or : or whitespace characters"),
        ({"interface": "a/b"}, "interface name contains / or : or whitespace characters"),
        ({"interface": "sixteencharacter"}, "interface name is too long; interface name should be less than 16"),
        ({"interface": ".."}, "interface name is . or .."),
        ({"mac": "02:00:00:20:24"}, 'failed to parse mac address "02:00:00:20:24"'),
        ({"mac": "02:00:00:20:24:0a up"}, 'failed to parse mac address "02:00:00:20:24:0a up"'),
    ],
)
def test_names_that_are_no_names(request_: dict[str, str], words: str) -> None:
    with pytest.raises(CniError) as error:
        nad.requests(json.dumps([{"name": "x", **request_}]), "demo")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["[{", "[1]", "{}", "a/b/c"])
def test_malformed_requests(text: str) -> None:
    with pytest.raises(CniError, match="parsePodNetwork"):
        nad.requests(text, "demo")


def test_the_documented_localnet() -> None:
    found = network(LOCALNET)
    assert (found.name, found.plugin, found.physical) == ("vlan-2024", "ovn", "vlan-2024")
    assert network({**LOCALNET, "physicalNetworkName": "physnet"}).physical == "physnet"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**LOCALNET, "netAttachDefName": "default/other"},
         "net-attach-def name (default/vlan-2024) is inconsistent with config (default/other)"),
        ({**LOCALNET, "netAttachDefName": ""}, "missing NADName in secondary network netconf vlan-2024"),
        ({**LOCALNET, "ipam": {"type": "whereabouts"}}, "IPAM key is not supported. Use OVN-K provided IPAM via the "
         "`subnets` attribute"),
        ({**LOCALNET, "vlanID": 5000}, "invalid vlanID 5000 in network vlan-2024: must be between 1 and 4094"),
        ({**LOCALNET, "name": "default"}, "network name 'default' is reserved"),
        ("{nonsense", "failed to unmarshal Spec.Config"),
        ("", "spec.config is empty"),
        ({"name": "x"}, 'missing "type"'),
        ({"name": "x", "type": "macvtap"}, 'failed to find plugin "macvtap" in path'),
        ({"name": "x", "plugins": [{"type": "bridge"}, {"type": "sbr"}]}, 'failed to find plugin "sbr" in path'),
        ({"name": "x", "plugins": []}, "no plugins in list"),
    ],
)  # fmt: skip
def test_mistakes(config: Any, words: str) -> None:
    with pytest.raises(CniError) as error:
        network(config)
    assert words in str(error.value)


def test_the_documented_bridge_list() -> None:
    found = network({"name": "br1", "plugins": [{"type": "cnv-bridge", "bridge": "br1"}, {"type": "cnv-tuning"}]})
    assert (found.plugin, found.conf["bridge"]) == ("bridge", "br1")
    assert [plugin["type"] for plugin in found.chain] == ["cnv-bridge", "cnv-tuning"]


def test_mapping() -> None:
    known = nad.mappings("physnet:br-ex, vlan-2024:ovs-br1")
    nad.check_mapping(network(LOCALNET), known)
    with pytest.raises(CniError) as error:
        nad.check_mapping(network({**LOCALNET, "physicalNetworkName": "vlan-1993"}), known)
    assert str(error.value) == (
        'failed bridge mapping validation: failed to find OVN bridge-mapping for network: "vlan-1993"'
    )


def test_a_missing_definition_has_its_own_event() -> None:
    error = nad.not_found(Request("default", "gone", "net1"))
    assert error.reason == "NoNetworkFound"
    assert str(error).startswith("cannot find a network-attachment-definition (gone) in namespace (default): ")
