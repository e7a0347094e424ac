"""Everything the harness sends is what upstream's schemas know: no misspelt field, no wrong type, nothing missing.

A field that a server does not know is dropped without a word by most, and what it should have done is then not done.
What is really sent in a run is held against the same schemas wherever a test has a lab (see tests/conftest.py).
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lab.core.names import owned, ownership
from lab.kubevirt import interrupt, manifest, migration, migrationpolicy
from lab.multus import attachment
from lab.nmstate import manifest as policies
from lab.nmstate import restore
from lab.target.inventory import load
from lab.topology import lease, pods
from lab.topology.ground import namespace
from tests import upstream

ROOT = Path(__file__).parents[3]
TARGET = load(ROOT / "targets" / "embedded.yaml")
RUN = "20261126-000000-test"
FILES = sorted((ROOT / "features").rglob("manifests/*.yaml"))
DOCUMENTS = {str(path.relative_to(ROOT / "features")): yaml.safe_load(path.read_text()) for path in FILES}


def documents(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, obj) for name, obj in DOCUMENTS.items() if obj["kind"] == kind]


def assert_known(*objects: dict[str, Any]) -> None:
    assert [problem for obj in objects for problem in upstream.problems(obj)] == []


def test_the_check_sees_what_is_wrong() -> None:
    _, vm = documents("VirtualMachine")[0]
    vm = yaml.safe_load(yaml.safe_dump(vm))
    assert upstream.problems(vm) == []
    template = vm["spec"]["template"]["spec"]
    template["domain"]["devices"]["interfaces"][0]["macAdress"] = "02:00:00:00:00:01"
    template["networks"][0] = {"name": "a", "pod": {"vmNetwork": "10.0.0.0/8"}}
    template["terminationGracePeriodSeconds"] = "soon"
    del vm["spec"]["template"]["spec"]["domain"]["devices"]
    vm["spec"]["runStrategi"] = vm["spec"].pop("runStrategy", "Always")
    found = "\n".join(upstream.problems(vm))
    for said in (
        "VirtualMachine spec: Additional properties are not allowed ('runStrategi' was unexpected)",
        "'devices' is a required property",
        "('vmNetwork' was unexpected)",
        "'soon' is not of type 'integer'",
    ):
        assert said in found, found
    _, policy = documents("NodeNetworkConfigurationPolicy")[0]
    typo = {**policy, "spec": {**policy["spec"], "nodeSelectors": {}}}
    assert upstream.problems(typo) == [
        "NodeNetworkConfigurationPolicy spec: Additional properties are not allowed ('nodeSelectors' was unexpected)"
    ]
    assert upstream.problems({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "imag": "b"}]}})
    with pytest.raises(LookupError, match="no schema for Widget"):
        upstream.problems({"apiVersion": "example.com/v1", "kind": "Widget"})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_documented_manifest(name: str) -> None:
    assert_known(DOCUMENTS[name])


@pytest.mark.parametrize(("name", "vm"), documents("VirtualMachine"))
@pytest.mark.parametrize("addresses", [["192.168.24.20/24", "192.168.93.20/24"], []])
def test_a_vm_as_it_is_sent(name: str, vm: dict[str, Any], addresses: list[str]) -> None:
    image = TARGET.image()
    changes = manifest.Changes(
        namespace="virtlab-x",
        labels=ownership(RUN),
        image=image.image,
        addresses=addresses,
        mac="02:76:6c:00:00:10",
        user=image.user,
        password=image.password,
        public_key="ssh-ed25519 AAAA run",
        memory_mib=image.memory_mib,
        node_selector={"kubernetes.io/hostname": "worker-1"},
        spread="apart",
    )
    assert_known(manifest.adapted(vm, changes))


@pytest.mark.parametrize(("name", "policy"), documents("NodeNetworkConfigurationPolicy"))
def test_a_policy_its_inverses_and_its_other_forms_as_they_are_sent(name: str, policy: dict[str, Any]) -> None:
    links = {str(i["name"]): str(i.get("type")) for i in policies.interfaces(policy)}
    ports = {link: TARGET.nics.ports(link, kind) for link, kind in links.items()}
    selector = {"node-role.kubernetes.io/worker": ""}
    one = owned(policies.adapted(policy, ports=ports, node_selector=selector), RUN)
    ipv4 = {"enabled": True, "dhcp": True, "auto-dns": True}
    entry = {"name": "ens3", "type": "ethernet", "state": "up", "mtu": 1500, "ipv4": ipv4}
    alike = restore.written(one, {restore.EVERY: [entry]})
    apart = restore.written(one, {"worker-1": [entry], "worker-2": []})
    hostnames = {"worker-1": "worker-1", "worker-2": "w2.example"}
    assert_known(alike, apart, policies.without_ports(one, {"bond2": "bond"}))
    inverses = [*restore.inverses(alike, hostnames), *restore.inverses(apart, hostnames)]
    assert len(inverses) == 3
    assert_known(*inverses, *(policies.inverse(inverse) for inverse in inverses))


@pytest.mark.parametrize(("name", "nad"), documents("NetworkAttachmentDefinition"))
def test_an_attachment_as_it_is_sent(name: str, nad: dict[str, Any]) -> None:
    assert_known(owned(attachment.adapted(nad, namespace="virtlab-x", vlan=7), RUN))


@pytest.mark.parametrize(("name", "pod"), documents("Pod"))
def test_a_pod_as_it_is_sent(name: str, pod: dict[str, Any]) -> None:
    resident = pods.Resident("resident-2024-w1", "ns", "w1", "VLAN 2024", "192.168.24.99")
    assert_known(pods.manifest(pod, resident, nad="vlan-2024", hostname="w1", prefix=24, image="i", run=RUN))


def test_what_the_harness_makes_by_itself() -> None:
    client: Any = SimpleNamespace(server="https://api")
    settings = {name: True if name.startswith("allow") else "1Gi" for name in migrationpolicy.SETTINGS[:3]}
    assert_known(
        namespace("virtlab-x", RUN),
        lease.RunLease(client, RUN)._body(),
        migration.request("virtlab-x", "vm-a", ownership(RUN), ""),
        migration.request("virtlab-x", "vm-a", ownership(RUN), "worker-2"),
        migrationpolicy.policy("virtlab-x", {**settings, "completionTimeoutPerGiB": 5}, ownership(RUN)),
        interrupt.eviction("virtlab-x", "virt-launcher-vm-a-abcde"),
    )
