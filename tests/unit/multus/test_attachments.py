"""NADs in another namespace, and what Multus says of a pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.errors import UsageError
from lab.multus.attachment import NETWORK_STATUS, adapted, config_of, read_attachment
from lab.multus.status import attached

NAD: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "features/localnet/manifests/nad-vlan-2024.yaml").read_text()
)


def test_another_namespace_rewrites_the_place_and_keeps_the_network() -> None:
    made = adapted(NAD, namespace="demo")
    assert made["metadata"]["namespace"] == "demo"
    assert config_of(made)["netAttachDefName"] == "demo/vlan-2024"
    assert config_of(made)["name"] == "vlan-2024"
    assert NAD["metadata"]["namespace"] == "default"


def test_a_nad_is_read_with_its_localnet_and_vlan() -> None:
    found = read_attachment(NAD)
    assert (found.localnet, found.vlan, found.topology) == ("vlan-2024", 2024, "localnet")


def test_a_nad_of_a_linux_bridge_names_the_bridge_and_what_a_node_must_offer() -> None:
    folder = Path(__file__).parents[3] / "features/cnv_bridge/manifests"
    found = read_attachment(yaml.safe_load((folder / "nad-tuning-bridge-fixed.yaml").read_text()))
    assert (found.network, found.bridge, found.vlan) == ("br1", "br1", 0)
    assert found.resource == "bridge.network.kubevirt.io/br1"
    tagged = read_attachment(yaml.safe_load((folder / "nad-tuning-bridge-vlan.yaml").read_text()))
    assert tagged.vlan == 2024
    assert (read_attachment(NAD).bridge, read_attachment(NAD).resource) == ("", "")


def test_malformed_json_is_told_with_place_and_text() -> None:
    bad = {**NAD, "spec": {"config": '{"name": '}}
    with pytest.raises(UsageError, match=r"NetworkAttachmentDefinition vlan-2024, spec\.config"):
        read_attachment(bad)


def test_network_status_is_read_and_garbage_is_nothing() -> None:
    text = '[{"name":"demo/vlan-2024","interface":"net1","mac":"0A:00:00:00:00:01","dns":{}}]'
    [found] = attached({"metadata": {"annotations": {NETWORK_STATUS: text}}})
    assert (found.name, found.interface, found.mac) == ("demo/vlan-2024", "net1", "0a:00:00:00:00:01")
    assert attached({"metadata": {"annotations": {NETWORK_STATUS: "{"}}}) == []
