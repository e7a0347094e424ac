"""`target init`: what a look tells stands in the file, the rest is left to a person; the file is valid at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.access.client import Client
from lab.survey import targetcli
from lab.survey.draft import Where, draft
from lab.survey.links import pairs, sort, subnets
from lab.survey.reading import survey
from lab.target.inventory import Target, load
from tests.unit.access.fakeapi import connect, kubeconfig, status
from tests.unit.survey.fakecluster import FakeCluster, ethernet, node_state, ready


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as made:
        yield made


def written(client: Client, tmp_path: Path) -> tuple[str, Target]:
    text = draft(survey(client), Where("/k/c", "lab", "mine"), "2026-01-01")
    (tmp_path / "t.yaml").write_text(text)
    return text, load(tmp_path / "t.yaml")


def test_what_the_cluster_tells_stands_in_the_file(cluster: FakeCluster, tmp_path: Path) -> None:
    text, target = written(connect(cluster, tmp_path), tmp_path)
    assert target.platform.ovn.containers == {"nb": "nbdb", "sb": "sbdb", "controller": "ovn-controller"}
    assert target.platform.ovn.namespace == "openshift-ovn-kubernetes"
    assert target.platform.type == "kubernetes"
    assert target.nics.primary == "eth0"
    assert target.nics.protected == ("br-ex", "br-int")
    assert target.node_selector == "node-role.kubernetes.io/worker="
    assert (target.cluster.context, str(target.cluster.kubeconfig)) == ("lab", "/k/c")
    assert "#   bond1: [ens1f0, ens1f1]" in text
    assert "#     gateway: 10.0.0.254\n#     subnet: 10.0.0.0/24" in text
    assert not target.allow_disruptive
    assert target.vlans == {}


def test_openshift_is_known_by_its_own_kind(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.group("/apis/config.openshift.io/v1", ("ClusterVersion",))
    assert written(connect(cluster, tmp_path), tmp_path)[1].platform.type == "openshift"


def test_what_nobody_may_read_is_told_and_the_rest_is_written(cluster: FakeCluster, tmp_path: Path) -> None:
    for path in ("/apis/nmstate.io/v1beta1/nodenetworkstates", "/api/v1/pods"):
        cluster.say(f"GET {path}", lambda r: status(403, "Forbidden", "cannot list"))
    text, target = written(connect(cluster, tmp_path), tmp_path)
    assert "# not readable with these credentials: list of NodeNetworkState: 403 Forbidden: cannot list" in text
    assert target.nics.primary == "FILL-IN"
    assert target.platform.nmstate.namespace == "openshift-nmstate"


def test_workers_without_the_label_are_those_that_are_no_control_plane(cluster: FakeCluster, tmp_path: Path) -> None:
    for node in cluster.nodes:
        node["metadata"]["labels"] = {}
    boss = ready("cp")
    boss["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
    cluster.nodes.append(boss)
    found = survey(connect(cluster, tmp_path))
    assert (found.selector, found.names) == ("kubernetes.io/os=linux", ("w1", "w2"))


def test_vlans_of_attachments_and_images_in_use_are_hints(cluster: FakeCluster, tmp_path: Path) -> None:
    config = '{"type": "ovn-k8s-cni-overlay", "topology": "localnet", "vlanID": 77}'
    attachment = {"metadata": {"name": "v77", "namespace": "prod"}, "spec": {"config": config}}
    broken = {"metadata": {"name": "b", "namespace": "prod"}, "spec": {"config": "{"}}
    cluster.objects("/apis/k8s.cni.cncf.io/v1/network-attachment-definitions", attachment, broken)
    volumes = [{"containerDisk": {"image": "mirror/rhel:9"}}]
    cluster.objects("/apis/kubevirt.io/v1/virtualmachineinstances", {"metadata": {}, "spec": {"volumes": volumes}})
    text, target = written(connect(cluster, tmp_path), tmp_path)
    assert "# seen: NetworkAttachmentDefinition prod/v77: ovn-k8s-cni-overlay, VLAN 77" in text
    assert target.image().image == "mirror/rhel:9"


def test_a_nic_below_a_bond_below_br_ex_is_the_primary_and_its_bond_is_protected() -> None:
    bond = {"name": "bond0", "type": "bond", "state": "up", "link-aggregation": {"port": ["eth0", "eth1"]}}
    state = node_state(1, bond, ethernet("eth1"), ethernet("eth9", up=False), ethernet("sto0", address="10.9.9.1"))
    state["interfaces"][1]["bridge"]["port"][1] = {"name": "bond0"}
    found = sort("w1", state, "10.0.0.1")
    assert found.primary == "eth0"
    assert set(found.vital) == {"br-ex", "br-int", "bond0", "eth1", "sto0"}
    assert (found.free, found.down) == (("ens1f0", "ens1f1"), ("eth9",))
    assert subnets(state)["sto0"].gateway == ""


def test_nics_of_one_card_are_proposed_in_twos() -> None:
    names = ("eno1", "enp6s0f0", "enp6s0f1", "ens1f0np0", "ens1f1np1", "eth2", "eth3")
    assert pairs(names) == [("enp6s0f0", "enp6s0f1"), ("ens1f0np0", "ens1f1np1"), ("eth2", "eth3")]


def test_init_writes_for_its_owner_alone_and_replaces_nothing(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, config = tmp_path / "sub" / "mine.yaml", kubeconfig(tmp_path, cluster.url)
    words = ["init", "--kubeconfig", str(config), "-o", str(file)]
    assert targetcli.main(words) == 0
    assert "begin with FILL IN and are yours" in capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert (load(file).name, load(file).cluster.context) == ("mine", "lab")
    assert targetcli.main(words) == 2
    assert "it exists" in capsys.readouterr().err
    assert targetcli.main([*words, "--force"]) == 0
    assert all(method == "GET" for method, *_ in cluster.requests)
