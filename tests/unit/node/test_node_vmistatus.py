"""VMI.status from observations, by KubeVirt's rules."""

from typing import Any

import pytest

from lab.embedded.node import vmistatus as rules
from lab.embedded.node.domain import Nic

POD = Nic("default", "eth0", "0a:58:0a:80:02:0e", "masquerade", pod_network=True)
VLAN = Nic("vlan2024", "podcc4dd54e40a", "02:00:00:20:24:11", "bridge")
GUEST = [
    {"name": "lo", "mac": "00:00:00:00:00:00", "addresses": ["127.0.0.1"]},
    {"name": "eth0", "mac": "0A:58:0A:80:02:0E", "addresses": ["10.0.2.2", "fe80::1"]},
    {"name": "eth1", "mac": "02:00:00:20:24:11", "addresses": ["fe80::2", "192.168.24.11"]},
    {"name": "docker0", "mac": "02:42:00:00:00:01", "addresses": ["172.17.0.1"]},
]


def test_everything_known() -> None:
    found = rules.interfaces([VLAN, POD], GUEST, {"eth0": ["10.128.2.14"]}, ["podcc4dd54e40a"])
    assert found == [
        {
            "name": "default", "podInterfaceName": "eth0", "mac": POD.mac, "infoSource": "domain, guest-agent",
            "interfaceName": "eth0", "ipAddress": "10.128.2.14", "ipAddresses": ["10.128.2.14"],
            "linkState": "up", "queueCount": 1,
        },
        {
            "name": "vlan2024", "podInterfaceName": "podcc4dd54e40a", "mac": VLAN.mac,
            "infoSource": "domain, guest-agent, multus-status", "interfaceName": "eth1",
            "ipAddress": "192.168.24.11", "ipAddresses": ["192.168.24.11", "fe80::2"],
            "linkState": "up", "queueCount": 1,
        },
        {
            "interfaceName": "docker0", "mac": "02:42:00:00:00:01", "infoSource": "guest-agent",
            "ipAddress": "172.17.0.1", "ipAddresses": ["172.17.0.1"],
        },
    ]  # fmt: skip


def test_without_agent_a_vlan_has_a_mac_but_no_address() -> None:
    (found,) = rules.interfaces([VLAN], None, {}, ["podcc4dd54e40a"])
    assert found["infoSource"] == "domain, multus-status"
    assert "ipAddress" not in found
    assert "ipAddresses" not in found


def vmi(binding: str, *, pod: bool, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"annotations": annotations or {}},
        "spec": {
            "domain": {"devices": {"interfaces": [{"name": "a", binding: {}}]}},
            "networks": [{"name": "a", "pod": {}} if pod else {"name": "a", "multus": {"networkName": "n"}}],
        },
    }


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (vmi("bridge", pod=False), "True"),
        (vmi("masquerade", pod=True), "True"),
        (vmi("bridge", pod=True), "False"),
        (vmi("bridge", pod=True, annotations={rules.ALLOW_BRIDGE: ""}), "True"),
    ],
)
def test_only_the_pod_network_can_block(given: dict[str, Any], status: str) -> None:
    assert rules.live_migratable(given, [])["status"] == status


def test_reasons() -> None:
    blocked = rules.live_migratable(vmi("bridge", pod=True), ["disk"])
    assert blocked["reason"] == "InterfaceNotLiveMigratable"
    assert rules.storage_live_migratable(blocked)["reason"] == "NotMigratable"
    disks = rules.live_migratable(vmi("masquerade", pod=True), ["disk text"])
    assert (disks["reason"], disks["message"]) == ("DisksNotLiveMigratable", "disk text")
    assert rules.storage_live_migratable(disks)["status"] == "True"


def test_not_shared() -> None:
    given = {
        "spec": {
            "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "rwo"}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "rwx"}},
                {"name": "c", "containerDisk": {}},
            ]
        }
    }
    (text,) = rules.not_shared(given, {"rwo": ["ReadWriteOnce"], "rwx": ["ReadWriteMany"]})
    assert text.startswith("cannot migrate VMI: PVC rwo is not shared, live migration requires")


def test_conditions_keep_their_times() -> None:
    conditions = [{"type": "A", "status": "True", "lastTransitionTime": "then"}]
    rules.put(conditions, rules.condition("A", "True"))
    assert conditions[0]["lastTransitionTime"] == "then"
    rules.put(conditions, rules.condition("A", "False", "R"))
    assert conditions[0]["lastTransitionTime"] != "then"
    rules.drop(conditions, "A")
    assert conditions == []


def test_phase_is_noted_once() -> None:
    status: dict[str, Any] = {"phase": "Scheduled"}
    rules.move_to(status, "Running")
    rules.move_to(status, "Running")
    assert [entry["phase"] for entry in status["phaseTransitionTimestamps"]] == ["Running"]


def test_migrating() -> None:
    assert rules.migrating({"status": {"migrationState": {"targetNode": "n"}}}) == {"targetNode": "n"}
    assert rules.migrating({"status": {"migrationState": {"failed": True}}}) is None
    assert rules.migrating({}) is None
