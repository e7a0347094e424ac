"""A customer's case: what it becomes, what is told of it, and what is said of one that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from lab.cases import folder, objects
from lab.cases.cli import main
from lab.core.errors import UsageError
from lab.target.inventory import load
from tests.conftest import ROOT

TARGET = load(ROOT / "targets/embedded.yaml")
POLICY = """
apiVersion: nmstate.io/v1
kind: NodeNetworkConfigurationPolicy
metadata: {name: trunk, uid: 1-2, resourceVersion: "7", labels: {team: net}}
spec:
  desiredState:
    interfaces:
    - {name: bond-vm, type: bond, link-aggregation: {mode: 802.3ad, port: [eno1, eno2]}}
status: {conditions: []}
"""
NAD = """
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: prod, namespace: shop}
spec:
  config: '{"cniVersion": "0.3.1", "name": "prod", "type": "ovn-k8s-cni-overlay", "topology": "localnet",
            "netAttachDefName": "shop/prod", "vlanID": 500}'
"""
VM = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web-1, namespace: shop}
spec:
  running: true
  instancetype: {name: u1.large}
  dataVolumeTemplates: [{metadata: {name: web-1-root}}]
  template:
    spec:
      nodeSelector: {rack: r7}
      domain:
        devices:
          disks: [{name: root, disk: {bus: virtio}}]
          interfaces: [{name: prod, bridge: {}, macAddress: "02:00:00:00:00:01"}]
      networks: [{name: prod, multus: {networkName: shop/prod}}]
      volumes: [{name: root, dataVolume: {name: web-1-root}}]
"""
LOOKS = "vms: {web-1: {reaches: [gateway]}}\n"
CASE = f"name: Shop\nmap: {{vlans: {{500: 2024}}, nics: {{eno1: enp7s0f0, eno2: enp7s0f1}}}}\n{LOOKS}"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    place = tmp_path / "Shop case!"
    place.mkdir()
    (place / "all.yaml").write_text(
        "---".join((POLICY, NAD, VM, "\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"))
    )
    (place / "case.yaml").write_text(CASE)
    return place


def test_it_becomes_a_feature_of_known_sentences_with_what_was_changed_told(case: Path) -> None:
    text = folder.text(case, TARGET)
    assert (
        "Scenario: Shop\n    Given the customer's policy trunk\n    And a VM web-1 on VLAN 2024 through prod\n" in text
    )
    assert "    Then web-1 reaches the gateway of VLAN 2024\n" in text
    for told in (
        "Service web (all.yaml) is left out",
        "attachment prod: VLAN 2024 in place of 500",
        "VM web-1: instancetype is left out",
        "VM web-1: nodeSelector is left out",
        "VM web-1: the target's image in place of root",
        "VM web-1: a login for virtlab is added",
    ):
        assert told in text


def test_the_manifests_are_the_customers_but_for_that(case: Path, tmp_path: Path) -> None:
    place = folder.write(case, TARGET, tmp_path / "out")
    assert place == tmp_path / "out/cases/shop_case"
    assert {p.stem for p in (place / "manifests").iterdir()} == {"nncp-trunk", "nad-prod", "web-1", "resident", "pod"}
    policy = yaml.safe_load((place / "manifests/nncp-trunk.yaml").read_text())
    assert policy["metadata"] == {"name": "trunk", "labels": {"team": "net"}}
    assert "status" not in policy
    (bond,) = policy["spec"]["desiredState"]["interfaces"]
    assert bond["link-aggregation"]["port"] == ["enp7s0f0", "enp7s0f1"]
    vm = yaml.safe_load((place / "manifests/web-1.yaml").read_text())
    assert vm["spec"]["runStrategy"] == "Always"
    assert {"running", "instancetype", "dataVolumeTemplates"} & set(vm["spec"]) == set()
    inner = vm["spec"]["template"]["spec"]
    assert [v["name"] for v in inner["volumes"]] == ["rootdisk", "cloudinitdisk"]
    assert [d["name"] for d in inner["domain"]["devices"]["disks"]] == ["rootdisk", "cloudinitdisk"]
    compile((place / "test_case_shop_case.py").read_text(), "made", "exec")


def test_traffic_moves_and_what_must_stay_silent(case: Path) -> None:
    more = "disturbances: [{migrate: web-1}, {drain: web-1}, {cancel: web-1}]\nlongest-gap-ms: 800\n"
    (case / "case.yaml").write_text(CASE.replace("[gateway]", "[gateway], does-not-reach: [vlan-1993]") + more)
    text = folder.text(case, TARGET)
    wanted = """
    And the gateway of VLAN 2024 pings web-1 all the time
    Then web-1 reaches the gateway of VLAN 2024
    And web-1 does not reach the gateway of VLAN 1993
    When web-1 migrates to another worker under this traffic
    Then the longest gap is under 800 ms
    And web-1 reaches the gateway of VLAN 2024
    And web-1 does not reach the gateway of VLAN 1993
    When the worker of web-1 is drained of it under this traffic
"""
    assert wanted in text
    assert "a VM web-1 on VLAN 2024 through prod, which also has an address of VLAN 1993" in text
    assert "When a migration of web-1 is cancelled in the middle under this traffic" in text
    assert "And web-1 is still on the worker where it was" in text


def test_a_vm_on_the_pod_network_keeps_its_dhcp(tmp_path: Path) -> None:
    place = folder.write(ROOT / "docs/cases/pod-network", TARGET, tmp_path)
    vm = yaml.safe_load((place / "manifests/vm-p.yaml").read_text())
    clouds = [v["cloudInitNoCloud"] for v in vm["spec"]["template"]["spec"]["volumes"] if "cloudInitNoCloud" in v]
    assert [set(cloud) for cloud in clouds] == [{"userData"}]


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "docs/cases").iterdir()))
def test_the_shipped_cases_are_cases(name: str) -> None:
    assert "Scenario: " in folder.text(ROOT / "docs/cases" / name, TARGET)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("name: x\n", "at least one VM"),
        ("name: 'a\n\n  b'\nvms: {web-1: {reaches: [gateway]}}\n", "one line of text"),
        ("name: x\nvms: {web-1: {}}\n", "what web-1 reaches or does not reach"),
        ("name: x\nvms: {Web 1: {reaches: [gateway]}}\n", "names of VMs"),
        ("name: x\nvms: {db: {reaches: [gateway]}}\n", "a VirtualMachine db"),
        (f"name: x\n{LOOKS}", "VLAN 500, of attachment prod"),
        ("name: x\nvms: {web-1: {reaches: [gatway], segment: vlan-2024}}\n", "'gatway'"),
        ("name: x\nvms: {web-1: {reaches: [gateway], attachment: dev}}\n", "NetworkAttachmentDefinition dev"),
        (f"name: x\n{LOOKS}map: {{vlans: {{500: 7777}}}}\n", "VLANs from 1 to 4094"),
        ("name: x\nvmz: {}\nvms: {web-1: {reaches: [gateway]}}\n", "'vmz'"),
        (f"name: x\n{LOOKS}disturbances: [{{reboot: web-1}}]\n", "one of the keys migrate, drain, cancel"),
        (f"name: x\n{LOOKS}disturbances: [{{migrate: db}}]\n", "one of the VMs web-1"),
        (f"name: x\n{LOOKS}disturbances: [{{drain: web-1}}]\n", "longest-gap-ms"),
        (f"name: x\n{LOOKS}disturbances: [{{migrate: web-1, to: far}}]\n", "another, new, back"),
        (f"name: x\nmanifests: [../gone]\n{LOOKS}", "'../gone' is not there"),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_says_what_is_wrong(case: Path, text: str, said: str) -> None:
    (case / "case.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        folder.text(case, TARGET)
    assert said in str(raised.value)


def test_no_folder_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(ROOT / "targets/embedded.yaml")
    ran: list[list[str]] = []

    def run(words: list[str]) -> int:
        ran.append(words)
        return 0

    assert main(["run", str(tmp_path / "gone")], run, tmp_path, target) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["run", str(tmp_path)], run, tmp_path, target) == 2
    assert "a file case.yaml" in capsys.readouterr().err
    assert ran == []
    assert main(["run", str(ROOT / "docs/cases/vlan-trunk"), "--keep", "failed"], run, tmp_path, target) == 0
    assert ran == [[f"--target={target}", "--keep", "failed", str(tmp_path / "out/cases/vlan_trunk")]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {\n", "line 2"),
        ("- a\n- b\n", "Kubernetes objects"),
        ("kind: List\nitems: [null]\n", "found: a NoneType"),
        ("kind: Pod\n", "a kind and a name"),
        ("kind: VirtualMachine\nmetadata: {name: a}\n---\nkind: VirtualMachine\nmetadata: {name: a}\n", "there twice"),
    ],
)
def test_manifests_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        objects.read([tmp_path])
    assert said in str(raised.value)


def test_words_of_a_case_are_words_in_its_module_and_feature(case: Path, tmp_path: Path) -> None:
    """A case comes from somebody else: its name is no Python, and none of its text a sentence of its own."""
    name = 'x"""; import os; os.mkdir("ran") #'
    about = "Scenario: more\\n  Given a pod on every worker\\n@disruptive\\n# gone"
    (case / "case.yaml").write_text(
        f"name: '{name}\\x0b'\n".replace("'", '"').replace('x"""', r"x\"\"\"").replace('("ran")', r"(\"ran\")")
        + f'about: "{about}"\n'
        + CASE.partition("\n")[2]
    )
    (case / "other.yaml").write_text('kind: "Pod\\n  Scenario: third"\nmetadata: {name: a}\n')
    place = folder.write(case, TARGET, tmp_path / "out")
    assert "os.mkdir" not in (place / "test_case_shop_case.py").read_text()
    text = (place / "shop_case.feature").read_text()
    assert (
        f"Feature: Case: {name}\n  * Scenario: more\n  Given a pod on every worker\n  * @disruptive\n  * # gone" in text
    )
    assert "  * Pod Scenario: third a (other.yaml) is left out" in text
    assert text.count("\n  Scenario: ") == 1


def test_a_name_is_no_path_and_a_pipe_is_not_waited_for(case: Path) -> None:
    os.mkfifo(case / "b.yaml")
    (case / "a.yaml").write_text(POLICY.replace("name: trunk", 'name: "../trunk"'))
    with pytest.raises(UsageError, match=r"metadata.name: "):
        folder.text(case, TARGET)
    (case / "a.yaml").write_text(POLICY.replace("name: trunk", 'name: "trunk2\\n"'))
    with pytest.raises(UsageError, match=r"metadata.name: "):
        folder.text(case, TARGET)


def test_a_segment_that_only_looks_like_a_vlan(case: Path) -> None:
    (case / "case.yaml").write_text("name: x\nvms: {web-1: {reaches: [gateway], segment: vlan-²}}\n")
    with pytest.raises(UsageError, match="vlan-²"):
        folder.text(case, TARGET)


def test_a_vm_without_an_interface_sits_nowhere(case: Path) -> None:
    vm = VM.replace('interfaces: [{name: prod, bridge: {}, macAddress: "02:00:00:00:00:01"}]', "interfaces: []")
    (case / "all.yaml").write_text("---".join((POLICY, NAD, vm)))
    with pytest.raises(UsageError, match="an interface of VM web-1 with a multus network"):
        folder.text(case, TARGET)
