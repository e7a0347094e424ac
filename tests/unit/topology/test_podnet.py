"""VMs on the pod network: whose pod runs them, and the pods of the zones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.core.errors import EnvironmentBroken
from lab.topology import pods
from lab.topology.manifests import Manifests
from lab.topology.podnet import POD_NETWORK, Launcher, manifest, running

FOLDER = Path(__file__).parents[3] / "features" / "pod_network" / "manifests"
VMI = {"metadata": {"name": "vm-p", "namespace": "demo", "uid": "u"}, "status": {"nodeName": "worker-2"}}


def pod(name: str, node: str, phase: str, address: str = "10.128.0.4") -> dict[str, Any]:
    note = json.dumps({"default": {"ip_addresses": ["10.128.0.4/23"], "mac_address": "0A:58:0a:80:00:04"}})
    meta = {"name": name, "annotations": {"k8s.ovn.org/pod-networks": note}}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase, "podIP": address}}


def test_the_launcher_that_runs_a_vm_is_told_from_those_that_ended() -> None:
    launchers = [pod("a", "worker-2", "Succeeded"), pod("b", "worker-1", "Running"), pod("c", "worker-2", "Running")]
    assert running(VMI, launchers) == Launcher("c", "worker-2", "10.128.0.4", "0a:58:0a:80:00:04")


def test_a_vm_whose_launcher_has_no_address_yet() -> None:
    with pytest.raises(EnvironmentBroken) as raised:
        running(VMI, [pod("c", "worker-2", "Running", "")])
    assert str(raised.value).splitlines() == [
        "wanted: the running launcher pod of VM vm-p on worker-2, with an address",
        "found: c with no address",
        "where: namespace demo",
    ]
    with pytest.raises(EnvironmentBroken, match="found: none"):
        running({"metadata": VMI["metadata"]}, [pod("c", "worker-2", "Running")])


def test_a_mac_address_that_nobody_tells_is_unknown() -> None:
    bare = pod("c", "worker-2", "Running")
    del bare["metadata"]["annotations"]
    assert running(VMI, [bare]).mac == ""


def test_a_pod_of_a_zone_is_the_literal_one_in_its_place() -> None:
    place = pods.Resident("pod-worker-3", "ns", "worker-3", POD_NETWORK.name, "")
    body = manifest(Manifests(FOLDER)["pod"], place, "img", "r1")
    assert (body["metadata"]["name"], body["metadata"]["namespace"]) == ("pod-worker-3", "ns")
    assert body["spec"]["nodeName"] == "worker-3"
    assert body["spec"]["containers"][0]["image"] == "img"
    assert body["metadata"]["labels"]["virtlab.dev/run"] == "r1"
