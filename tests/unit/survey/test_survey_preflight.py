"""`doctor --target` and `target check` at the wire: each check is shown red, and says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab.survey import doctorcli, targetcli
from lab.survey.findings import Finding
from lab.survey.preflight import of_cluster
from lab.survey.rights import rights
from lab.target.inventory import load
from tests.unit.access.fakeapi import kubeconfig, status
from tests.unit.survey.fakecluster import FakeCluster, ethernet

TARGET = """
cluster: {kubeconfig: kubeconfig}
nics: {primary: eth0, protected: [br-ex], bonds: {bond2: [ens1f0, ens1f1]}}
vlans: [{id: 7, gateway: 192.0.2.1, subnet: 192.0.2.0/24, pool: 192.0.2.20-192.0.2.99, outside: gw}]
outside: {gw: {exec: [sh, -c, 'exit $0', '0']}}
images: {default: {image: quay.io/x/y, user: u, password: p}}
"""


ROLES = """
kind: ClusterRole
metadata: {name: a}
rules: [{apiGroups: [kubevirt.io], resources: [virtualmachines], verbs: [list, create]}]
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Few rights are asked for: the real roles have sixty."""
    (tmp_path / "roles").write_text(ROLES)
    monkeypatch.setattr("lab.survey.rights.ROLES", tmp_path / "roles")
    with FakeCluster() as made:
        yield made


def doctor(cluster: FakeCluster, tmp_path: Path, text: str = TARGET) -> list[Finding]:
    kubeconfig(tmp_path, cluster.url)
    (tmp_path / "t.yaml").write_text(text)
    return of_cluster(load(tmp_path / "t.yaml"))


def reds(findings: list[Finding]) -> dict[str, str]:
    assert all(f.remedy for f in findings if f.state != "ok")
    return {f.subject: f.seen for f in findings if f.state == "bad"}


def test_a_cluster_that_fits_is_green_and_nothing_was_changed(cluster: FakeCluster, tmp_path: Path) -> None:
    findings = doctor(cluster, tmp_path)
    assert reds(findings) == {}
    changing = {(method, path) for method, path, *_ in cluster.requests if method != "GET"}
    assert changing == {("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")}
    assert {f.subject for f in findings if f.state == "unknown"} == {"Multus", "guest image", "pod image"}


def test_a_primary_nic_that_nmstate_names_only_as_a_port_is_there(cluster: FakeCluster, tmp_path: Path) -> None:
    """As on a node that is a container: its veths are reported where NetworkManager manages them."""
    for name, state in cluster.states.items():
        state["interfaces"] = [link for link in state["interfaces"] if link["name"] != "eth0"]
        cluster.states[name] = state
    assert reds(doctor(cluster, tmp_path)) == {}
    misspelt = TARGET.replace("primary: eth0", "primary: eht0")
    assert reds(doctor(cluster, tmp_path, misspelt))["NICs"].startswith("w2 has no eht0, but ens1f0")


def no_nmstate(cluster: FakeCluster) -> None:
    cluster.group("/apis/nmstate.io/v1beta1", ("NodeNetworkState",))


def pod_gone(cluster: FakeCluster) -> None:
    cluster.pods = [pod for pod in cluster.pods if pod["metadata"]["name"] != "h-w2"]


def no_virt(cluster: FakeCluster) -> None:
    cluster.pods = [pod for pod in cluster.pods if pod["metadata"]["namespace"] != "openshift-cnv"]


def degraded(cluster: FakeCluster) -> None:
    conditions = [{"type": "Degraded", "status": "True", "message": "virt-api is down"}]
    state = {"phase": "Deployed", "conditions": conditions}
    cluster.objects("/apis/kubevirt.io/v1/kubevirts", {"metadata": {"name": "kubevirt"}, "status": state})


def not_ready(cluster: FakeCluster) -> None:
    cluster.nodes[1]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]


def cordoned(cluster: FakeCluster) -> None:
    cluster.nodes[1]["spec"]["unschedulable"] = True


def pressed(cluster: FakeCluster) -> None:
    cluster.nodes[0]["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})


def one_worker(cluster: FakeCluster) -> None:
    del cluster.nodes[1]


def other_cpu(cluster: FakeCluster) -> None:
    cluster.nodes[0]["metadata"]["labels"]["host-model-cpu.node.kubevirt.io/Skylake"] = "true"


def no_nic(cluster: FakeCluster) -> None:
    links = cluster.states["w2"]["interfaces"]
    cluster.states["w2"]["interfaces"] = [link for link in links if link["name"] != "ens1f1"]


def no_cable(cluster: FakeCluster) -> None:
    next(link for link in cluster.states["w1"]["interfaces"] if link["name"] == "ens1f0")["state"] = "down"


def used_nic(cluster: FakeCluster) -> None:
    bond = {"name": "storage", "type": "bond", "state": "up", "link-aggregation": {"port": ["ens1f0"]}}
    cluster.states["w1"]["interfaces"].append(bond)


def other_primary(cluster: FakeCluster) -> None:
    bridge = next(link for link in cluster.states["w2"]["interfaces"] if link["type"] == "ovs-bridge")
    bridge["bridge"]["port"] = [{"name": "eth7"}]
    cluster.states["w2"]["interfaces"].append(ethernet("eth7"))


def pool_taken(cluster: FakeCluster) -> None:
    cluster.states["w1"]["interfaces"].append(ethernet("sto0", address="192.0.2.30"))


def vlan_is_ours(cluster: FakeCluster) -> None:
    cluster.states["w1"]["interfaces"].append(ethernet("sto0", address="192.0.2.3"))


def clock_behind(cluster: FakeCluster) -> None:
    old = (datetime.now(UTC) - timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    answer: Callable[[web.Request], Any] = lambda r: web.json_response({"gitVersion": "v1"}, headers={"Date": old})  # noqa: E731
    cluster.say("GET /version", answer)


def node_ahead(cluster: FakeCluster) -> None:
    cluster.leases(w2=60)


def node_silent(cluster: FakeCluster) -> None:
    cluster.leases(w1=-300)


def busy(cluster: FakeCluster) -> None:
    now = datetime.now(UTC).isoformat()
    spec = {"holderIdentity": "r7 elsewhere 12", "renewTime": now, "acquireTime": now, "leaseDurationSeconds": 40}
    path = "GET /apis/coordination.k8s.io/v1/namespaces/default/leases/virtlab"
    cluster.say(path, lambda r: web.json_response({"metadata": {"name": "virtlab"}, "spec": spec}))


def left(cluster: FakeCluster) -> None:
    cluster.objects("/api/v1/namespaces", {"metadata": {"name": "virtlab-x", "labels": {"virtlab.dev/run": "r1"}}})


def denied(cluster: FakeCluster) -> None:
    cluster.denied = {"create virtualmachines"}


@pytest.mark.parametrize(
    ("harm", "subject", "part"),
    [
        (no_nmstate, "kinds", "NodeNetworkConfigurationEnactment (nmstate.io/v1beta1) is not served"),
        (pod_gone, "kubernetes-nmstate", "no Ready one of pods component=kubernetes-nmstate-handler"),
        (no_virt, "virt-handler", "no pods kubevirt.io=virt-handler in any namespace"),
        (degraded, "KubeVirt", "virt-api is down"),
        (not_ready, "workers", "w2 is not Ready"),
        (cordoned, "workers", "w2 is cordoned or tainted"),
        (pressed, "workers", "w1 has DiskPressure"),
        (one_worker, "migration", "1 worker: no guest can move"),
        (other_cpu, "migration", "the workers' CPU models differ: w1 Skylake; w2 none"),
        (no_nic, "NICs", "w2 has no ens1f1 for bond2, but ens1f0, eth0"),
        (no_cable, "NICs", "w1: ens1f0 of bond2 is down or has no cable"),
        (used_nic, "NICs", "w1: ens1f0 of bond2 is used: port of bond storage"),
        (other_primary, "NICs", "w2 has its address 10.0.0.2 over eth7, not over eth0"),
        (pool_taken, "addresses", "the pool of VLAN 7 holds 192.0.2.30, the address of sto0 on w1"),
        (vlan_is_ours, "addresses", "VLAN 7 is 192.0.2.0/24, and sto0 of w1 is in it untagged"),
        (clock_behind, "clock of the API", "s behind this machine's"),
        (node_ahead, "clocks of the workers", "w2's clock is"),
        (node_silent, "clocks of the workers", "s ago: its clock is behind, or its kubelet is gone"),
        (busy, "other runs", "r7 elsewhere 12 holds it since"),
        (left, "leftovers", "namespace virtlab-x (run r1)"),
        (denied, "rights", "may not create virtualmachines.kubevirt.io"),
    ],
)
def test_what_is_wrong_is_red_with_its_remedy(
    cluster: FakeCluster, tmp_path: Path, harm: Callable[[FakeCluster], None], subject: str, part: str
) -> None:
    harm(cluster)
    found = reds(doctor(cluster, tmp_path))
    assert part in found.get(subject, ""), found


def test_an_outside_host_that_fails_and_a_gateway_that_is_silent_are_red(cluster: FakeCluster, tmp_path: Path) -> None:
    silent = "outside: {gw: {exec: [sh, -c, 'test $0 = true || { echo no answer; exit 1; }']}}"
    text = TARGET.replace("outside: {gw: {exec: [sh, -c, 'exit $0', '0']}}", silent)
    found = reds(doctor(cluster, tmp_path, text))
    assert found == {"VLAN 7": "gateway 192.0.2.1 does not answer gw: no answer"}
    found = reds(doctor(cluster, tmp_path, text.replace("exec: [sh,", "exec: [/no/such,")))
    assert "wanted the program '/no/such'" in found["outside host gw"]
    dead = TARGET + "faults: ['false']\n"
    assert "faults" in reds(doctor(cluster, tmp_path, dead))


def test_an_outside_host_that_is_the_gateway_proves_nothing(cluster: FakeCluster, tmp_path: Path) -> None:
    itself = "outside: {gw: {exec: [sh, -c, 'echo 2: eth0 inet 192.0.2.1/24 scope global']}}"
    text = TARGET.replace("outside: {gw: {exec: [sh, -c, 'exit $0', '0']}}", itself)
    unknown = {f.subject: f.seen for f in doctor(cluster, tmp_path, text) if f.state == "unknown"}
    assert unknown["VLAN 7"] == "gw is the gateway 192.0.2.1 itself"


def test_what_the_credentials_do_not_allow_is_unknown_and_names_the_refusal(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    for path in ("/apis/nmstate.io/v1beta1/nodenetworkstates", "/apis/kubevirt.io/v1/kubevirts"):
        cluster.say(f"GET {path}", lambda r: status(403, "Forbidden", "cannot list it"))
    unknown = {f.subject: f.seen for f in doctor(cluster, tmp_path) if f.state == "unknown"}
    assert unknown["NICs"] == "403 Forbidden: cannot list it"
    assert unknown["KubeVirt"] == "403 Forbidden: cannot list it"


def test_the_command_has_an_exit_code_for_each_outcome(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(cluster, tmp_path)
    file = str(tmp_path / "t.yaml")
    assert doctorcli.main(["--target", file]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("0 not, 3 not to be known beforehand")
    no_nic(cluster)
    assert doctorcli.main(["--target", file, "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [f["subject"] for f in findings if f["state"] == "bad"] == ["NICs"]
    assert targetcli.main(["check", file]) == 1
    assert "NOT  NICs: w2 has no ens1f1 for bond2" in capsys.readouterr().out
    assert targetcli.main(["check", file, "--offline"]) == 0
    assert doctorcli.main(["--target", str(tmp_path / "no.yaml")]) == 2
    kubeconfig(tmp_path, "http://127.0.0.1:9")
    assert doctorcli.main(["--target", file]) == 10
    assert "Traceback" not in capsys.readouterr().err


def test_a_platform_that_the_file_has_wrong_is_red(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(cluster, tmp_path, TARGET + "platform: {type: openshift}\n")
    assert targetcli.main(["check", str(tmp_path / "t.yaml")]) == 1
    assert "the file says openshift, the cluster is kubernetes" in capsys.readouterr().out


def test_rights_are_those_of_the_roles_one_by_one() -> None:
    text = """
kind: ClusterRole
metadata: {name: a}
rules: [{apiGroups: [x.io], resources: [as, as/status], verbs: [get, list]}]
---
kind: Role
metadata: {name: b, namespace: n}
rules: [{apiGroups: [""], resources: [bs], verbs: [get], resourceNames: [one]}]
"""
    assert [str(right) for right in rights(text)] == [
        "get bs in n", "get as.x.io", "list as.x.io", "get as/status.x.io", "list as/status.x.io",
    ]  # fmt: skip
