"""The launcher pod, against the reference object of upstream."""

from __future__ import annotations

import json

import pytest
from operator_samples import IMAGE, nad, vmi

from lab.embedded.apiserver.podsecurity import Policy, violations
from lab.embedded.operators.launcher import (
    LauncherConfig,
    RenderError,
    multus_networks,
    needs_privileged,
    render,
    render_target,
)

CONFIG = LauncherConfig(IMAGE)
NADS = {"default/vlan-2024": nad()}


def test_labels_annotations_and_owner() -> None:
    subject = vmi(phase="Pending", node="")
    subject["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "kubevirt.io/latest-observed-api-version": "v1",
        "kubevirt.io/allow-pod-bridge-network-live-migration": "",
    }
    pod = render(subject, NADS, CONFIG)
    meta = pod["metadata"]
    assert meta["generateName"] == "virt-launcher-vm-"
    assert meta["labels"] == {
        "app": "vm",
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": "uid-vmi-vm",
        "vm.kubevirt.io/name": "vm",
        "vmi.kubevirt.io/id": "vm",
    }
    assert meta["annotations"] == {
        "kubevirt.io/allow-pod-bridge-network-live-migration": "",
        "kubevirt.io/domain": "vm",
        "kubectl.kubernetes.io/default-container": "compute",
        "kubevirt.io/migrationTransportUnix": "true",
        "descheduler.alpha.kubernetes.io/request-evict-only": "",
        "traffic.sidecar.istio.io/kubevirtInterfaces": "k6t-eth0",
        "k8s.v1.cni.cncf.io/networks": (
            '[{"name":"vlan-2024","namespace":"default","mac":"02:00:00:20:24:11","interface":"podcc4dd54e40a"}]'
        ),
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "name": "vm",
            "uid": "uid-vmi-vm",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_spec_and_resources() -> None:
    subject = vmi(phase="Pending", node="")
    subject["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "worker-2"}
    spec = render(subject, {"default/vlan-2024": nad(resource="bridge.network.kubevirt.io/br1")}, CONFIG)["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 60
    assert spec["readinessGates"] == [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "worker-2", "kubevirt.io/schedulable": "true"}
    assert [container["name"] for container in spec["containers"]] == ["compute"]
    resources = spec["containers"][0]["resources"]
    assert resources["limits"] == {
        "devices.kubevirt.io/tun": "1",
        "devices.kubevirt.io/vhost-net": "1",
        "bridge.network.kubevirt.io/br1": "1",
    }
    assert resources["requests"]["cpu"] == "100m"
    assert resources["requests"]["memory"] == "381Mi"  # 128 + 220 of processes + 32 + page tables
    assert "priorityClassName" not in spec


def test_kvm_is_asked_for_without_emulation() -> None:
    limits = render(vmi(), NADS, LauncherConfig(IMAGE, use_emulation=False))["spec"]["containers"][0]["resources"][
        "limits"
    ]
    assert limits["devices.kubevirt.io/kvm"] == "1"


def test_a_missing_attachment_is_named() -> None:
    with pytest.raises(RenderError, match="failed to locate network attachment definition default/vlan-2024"):
        render(vmi(), {}, CONFIG)


def test_networks_without_fixed_mac_or_in_the_vmis_own_namespace() -> None:
    subject = vmi()
    del subject["spec"]["domain"]["devices"]["interfaces"][1]["macAddress"]
    subject["spec"]["networks"][1]["multus"]["networkName"] = "vlan-2024"
    assert multus_networks(subject) == [{"name": "vlan-2024", "namespace": "demo", "interface": "podcc4dd54e40a"}]
    subject["spec"]["domain"]["devices"]["interfaces"][1]["state"] = "absent"
    assert multus_networks(subject) == []


def test_a_multus_default_network() -> None:
    subject = vmi()
    subject["spec"]["networks"] = [
        {"name": "vlan2024", "multus": {"networkName": "default/vlan-2024", "default": True}}
    ]
    annotations = render(subject, NADS, CONFIG)["metadata"]["annotations"]
    assert annotations["v1.multus-cni.io/default-network"] == "default/vlan-2024"
    assert "k8s.v1.cni.cncf.io/networks" not in annotations


def test_the_target_pod_keeps_away_from_the_source() -> None:
    subject = vmi()
    subject["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"own": 1}]}}
    migration = {
        "metadata": {"name": "m", "namespace": "demo", "uid": "uid-m"},
        "spec": {"vmiName": "vm", "addedNodeSelector": {"zone": "b"}},
    }
    pod = render_target(subject, migration, NADS, CONFIG, image="old")
    terms = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms == [
        {"own": 1},
        {
            "labelSelector": {"matchLabels": {"kubevirt.io/created-by": "uid-vmi-vm"}},
            "topologyKey": "kubernetes.io/hostname",
        },
    ]
    assert pod["metadata"]["labels"]["kubevirt.io/migrationJobUID"] == "uid-m"
    assert "kubevirt.io/nodeName" not in pod["metadata"]["labels"]
    assert pod["metadata"]["annotations"]["kubevirt.io/migrationJobName"] == "m"
    assert pod["spec"]["nodeSelector"]["zone"] == "b"
    assert pod["spec"]["containers"][0]["image"] == "old"
    assert len(subject["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]) == 1
    assert json.loads(pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"])[0]["mac"] == "02:00:00:20:24:11"


def test_a_namespace_that_does_not_take_launchers_is_told_as_virt_controller_does() -> None:
    refusal = 'pods "virt-launcher-vm-x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile (...)'
    wanted = f"failed to create pod for vmi demo/vm, it needs a privileged namespace to run: {refusal}"
    assert needs_privileged(vmi(), refusal) == wanted
    assert needs_privileged(vmi(), "exceeded quota") == ""


def test_a_launcher_is_what_baseline_takes_and_lacks_a_seccomp_profile_for_restricted() -> None:
    spec = render(vmi(), NADS, CONFIG)["spec"]
    assert violations(Policy("baseline"), spec) == []
    assert [reason for reason, _ in violations(Policy("restricted"), spec)] == ["seccompProfile"]
