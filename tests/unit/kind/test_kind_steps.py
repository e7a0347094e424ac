"""`virtlab kind`: which commands are run in which order, for whom they are not, and what is said when one fails.

The programs are small ones that record what they are called with; the cluster is a server at the wire.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from lab.kind import cables, checks, cli, steps, tools
from lab.kind.versions import load
from lab.survey.fit import nics
from lab.target.inventory import load as load_target
from tests.unit.access.fakeapi import kubeconfig
from tests.unit.kind.kindprograms import Programs
from tests.unit.survey.fakecluster import FakeCluster, ethernet, node_state, ready

WORKERS = ("virtlab-worker", "virtlab-worker2")
ROLLED = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3, "observedGeneration": 1}
NAMESPACES = ("ovn-kubernetes", "nmstate", "kubevirt", "kube-system")


def rack_state(number: int) -> dict[str, Any]:
    """A worker as nmstate reports it: eth0, which NetworkManager does not manage, only as the port of its bridge."""
    state = node_state(number)
    for link in state["interfaces"]:
        link["name"] = link["name"].replace("br-ex", "breth0")
        for port in (link.get("bridge") or {}).get("port") or []:
            port["name"] = port["name"].replace("br-ex", "breth0")
    kept = [link for link in state["interfaces"] if link["type"] != "ethernet"]
    veths = [{**ethernet(nic), "type": "veth"} for nic in cables.NICS]
    return {**state, "interfaces": kept + veths}


class KindApi(FakeCluster):
    """The cluster as it is once everything is installed; `broken` is what one part says instead."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = [ready(name) for name in ("virtlab-control-plane", *WORKERS)]
        for number, node in enumerate(self.nodes):
            node["status"]["addresses"] = [{"type": "InternalIP", "address": f"10.0.0.{number}"}]
        self.nodes[0]["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
        self.states = {name: rack_state(number) for number, name in enumerate(WORKERS, 1)}
        self.group("/apis/apps/v1", ("DaemonSet", "Deployment"))
        self.group("/apis/apiextensions.k8s.io/v1", ("CustomResourceDefinition",))
        workloads = [
            ("ovn-kubernetes", "ovnkube-node"),
            ("kube-system", "kube-multus-ds"),
            ("nmstate", "nmstate-handler"),
        ]
        for space, name in workloads:
            self.workload(space, "daemonsets", name, ROLLED)
        done = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1}
        for space, name in (("ovn-kubernetes", "ovnkube-control-plane"), ("nmstate", "nmstate-operator")):
            self.workload(space, "deployments", name, done)
        established = {"conditions": [{"type": "Established", "status": "True"}]}
        kinds = ("network-attachment-definitions.k8s.cni.cncf.io", "nmstates.nmstate.io", "kubevirts.kubevirt.io")
        crds = [{"metadata": {"name": name}, "status": established} for name in kinds]
        self.objects("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", *crds)
        available = {"phase": "Deployed", "conditions": [{"type": "Available", "status": "True"}]}
        self.objects("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts",
                     {"metadata": {"name": "kubevirt", "namespace": "kubevirt"}, "status": available})  # fmt: skip
        for space in NAMESPACES:
            self.objects(f"/api/v1/namespaces/{space}/pods")

    def group(self, base: str, kinds: tuple[str, ...]) -> None:
        listed = [{"name": f"{k.lower()}s", "kind": k, "namespaced": k != "CustomResourceDefinition"} for k in kinds]
        if base.startswith(("/apis/apps", "/apis/apiextensions")):
            self.say(f"GET {base}", lambda r: web.json_response({"resources": listed}))
        else:
            super().group(base, kinds)

    def workload(self, space: str, plural: str, name: str, status: dict[str, Any]) -> None:
        meta = {"name": name, "namespace": space, "generation": 1}
        self.objects(f"/apis/apps/v1/namespaces/{space}/{plural}", {"metadata": meta, "spec": {}, "status": status})


@pytest.fixture
def api() -> Iterator[KindApi]:
    with KindApi() as made:
        yield made


@pytest.fixture
def programs(api: KindApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """On PATH and nothing else but the base system's; a home of the test's own."""
    made = Programs(tmp_path / "bin", kubeconfig(tmp_path, api.url).read_text())
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tools, "WATCHERS", tmp_path / "none")
    yield made
    made.close()


def up(*words: str) -> int:
    return cli.main(["up", "--workers", "2", "--no-cables", *words])


def said(programs: Programs, program: str) -> list[list[str]]:
    return [call[1:] for call in programs.calls if call[0] == program]


def test_everything_is_made_once_in_the_order_of_needs_and_removed(programs: Programs, tmp_path: Path) -> None:
    assert cli.main(["up", "--workers", "1"]) == 0
    calls = [" ".join(call) for call in programs.calls]
    marks = [
        "docker build", "kind create cluster --name virtlab", "docker exec virtlab-control-plane modprobe",
        "docker run", "docker exec virtlab-switch ip link add dev w1.eth1", "kubectl --kubeconfig", "git",
        "helm upgrade",
    ]  # fmt: skip
    first = [next(n for n, call in enumerate(calls) if call.startswith(mark)) for mark in marks]
    assert first == sorted(first)
    applied = [call[call.index("-f") + 1] for call in said(programs, "kubectl") if "-f" in call]
    parts = load().parts
    state = tmp_path / "state/virtlab/kind/virtlab"
    assert applied == [
        *parts["ipamclaims"].manifests, *parts["multi-networkpolicy"].manifests,
        *parts["kubernetes-nmstate"].manifests, str(state / "nmstate.yaml"),
        *parts["kubevirt"].manifests, str(state / "kubevirt.yaml"),
    ]  # fmt: skip
    (helm,) = said(programs, "helm")
    assert helm[helm.index("--set") + 1] == "k8sAPIServer=https://172.18.0.2:6443"

    programs.calls.clear()
    assert cli.main(["up", "--workers", "1"]) == 0
    calls = [" ".join(call) for call in programs.calls]
    add = "docker exec virtlab-switch ip link add"
    made = ("docker build", "docker run", "kind create", "kind delete", "git init", add)
    assert [call for call in calls if call.startswith(made)] == []

    programs.containers["other-control-plane"] = {"mounts": [], "labels": {}, "links": []}
    programs.calls.clear()
    assert cli.main(["down"]) == 0
    assert list(programs.containers) == ["other-control-plane"]
    assert ["delete", "cluster", "--name", "virtlab"] in [call[:4] for call in said(programs, "kind")]
    assert not state.exists()
    assert (tmp_path / "virtlab.yaml").exists()
    programs.calls.clear()
    assert cli.main(["down"]) == 0
    assert said(programs, "kind") == []


def test_the_target_file_knows_the_rack_and_fits_it(programs: Programs, api: KindApi, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "kubeconfig").write_text(programs.kubeconfig)
    wanted = steps.Wanted("virtlab", 2, "docker", state, "x86_64", load())
    written = tmp_path / "virtlab.yaml"
    cli.write_target(wanted, written)
    assert written.stat().st_mode & 0o777 == 0o600
    target = load_target(written)
    assert target.nics.primary == "eth0"
    assert target.nics.protected == ("breth0", "br-int")
    (finding,) = nics(target, api.nodes[1:], api.states)
    assert (finding.state, finding.seen) == ("ok", "eth0, bond1, bond2, bond3: there and free on every worker")
    assert {bond: target.nics.ports(bond, "bond") for bond in cables.BONDS} == cables.BONDS
    assert (target.vlans[2024].gateway, target.vlans[2024].outside) == ("192.168.24.1", "gateway-2024")
    assert target.image().boot_s == 600
    host = target.outside["gateway-2024"]
    assert host.command(["true"])[-5:] == ["ip", "netns", "exec", "gateway-2024", "true"]
    assert host.connect[-3:] == ("nc", "{host}", "{port}")
    assert not target.allow_disruptive
    written.write_text("mine")
    cli.write_target(wanted, written)
    assert written.read_text() == "mine"


def test_an_up_that_failed_goes_on_where_it_stopped(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.fail("helm", says="Error: Kubernetes cluster unreachable")
    assert up() == 10
    message = capsys.readouterr().err
    assert "step 'ovn-kubernetes': `helm upgrade" in message
    assert "Error: Kubernetes cluster unreachable" in message
    assert "it goes on where it stopped" in message
    programs.heal()
    programs.calls.clear()
    assert up() == 0
    assert [call[:2] for call in said(programs, "kind")] == [["version"]]
    assert said(programs, "git") == []


def test_nodes_of_a_creation_that_was_cut_short_are_removed_first(programs: Programs, tmp_path: Path) -> None:
    programs.fail("docker", "exec")
    assert up() == 10
    (tmp_path / "state/virtlab/kind/virtlab/kubeconfig").unlink()
    programs.calls.clear()
    assert up() == 10
    assert [call[0] for call in said(programs, "kind")] == ["version", "delete", "create"]


def test_missing_programs_are_one_error_that_says_where_they_come_from(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert up() == 2
    message = capsys.readouterr().err
    assert "no kind, no kubectl, no helm, no git, no docker" in message
    assert "kind: https://kind.sigs.k8s.io/docs/user/quick-start/#installation (release 0.33.0)" in message
    assert "helm: https://helm.sh" in message
    assert "or Podman: https://podman.io" in message


def test_an_old_kind_is_refused_and_a_newer_one_remarked(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.kind_is("kind v0.27.0 go1.24 linux/amd64")
    assert up() == 2
    assert "wanted: kind 0.33.0, which the node image is made for\nfound: kind v0.27.0" in capsys.readouterr().err
    programs.kind_is("kind v0.40.0 go1.30 linux/amd64")
    programs.fail("docker", "info")
    assert up() == 10
    assert "the node image is made for 0.33.0" in capsys.readouterr().out


def test_an_engine_that_does_not_answer_is_told_in_its_words(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.fail("docker", "info", says="permission denied while trying to connect to the Docker daemon socket")
    assert up() == 10
    message = capsys.readouterr().err
    assert "the container engine docker to answer" in message
    assert "permission denied while trying to connect" in message
    assert said(programs, "kind") == [["version"]]


FOREIGN = {"virtlab-control-plane": {"mounts": [], "labels": {}, "links": []}}


@pytest.mark.parametrize("words", [["up", "--workers", "2"], ["down"]])
def test_a_cluster_of_somebody_else_is_left_alone(
    programs: Programs, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    programs.containers.update(FOREIGN)
    assert cli.main(words) == 2
    message = capsys.readouterr().err
    assert "wanted: a cluster 'virtlab' that `virtlab kind up` made from" in message
    assert "the container virtlab-control-plane was made otherwise (no such mark)" in message
    assert programs.containers == FOREIGN


def test_a_container_that_only_has_the_switch_s_name_is_left_alone(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"virtlab-switch": {"mounts": [], "labels": {"app": "mine"}, "links": []}}
    programs.containers.update(other)
    assert cli.main(["down"]) == 2
    assert 'the container virtlab-switch was made otherwise (labels {"app": "mine"})' in capsys.readouterr().err
    assert programs.containers == other


def test_a_cluster_of_another_size_is_told(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.fail("docker", "exec")
    assert up() == 10
    assert cli.main(["up", "--workers", "3"]) == 2
    message = capsys.readouterr().err
    assert "it has 2, and kind adds none" in message
    assert "virtlab kind down --name virtlab first" in message


def test_podman_is_told_to_kind_by_its_variable(programs: Programs) -> None:
    programs.add("podman")
    programs.fail("podman", "exec")
    assert up("--engine", "podman") == 10
    assert said(programs, "docker") == []
    wanted = steps.Wanted("virtlab", 2, "podman", Path("/s"), "x86_64", load())
    assert wanted.kind("version") == ("env", "KIND_EXPERIMENTAL_PROVIDER=podman", "kind", "version")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["up", "--name", "Bad_Name"], "--name: lower case letters"),
        (["up", "--workers", "0"], "--workers: 1 to 9"),
        (["up", "--mirror", "quay.io"], "--mirror REGISTRY=HOST[:PORT][/PATH]"),
        (["up", "--mirror", "quay.io=a b"], "--mirror REGISTRY=HOST[:PORT][/PATH]"),
    ],
)
def test_words_that_cannot_be_are_refused_before_anything_is_done(
    programs: Programs, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert told in capsys.readouterr().err
    assert programs.calls == []


def test_the_plan_is_a_script_that_does_what_up_does(
    programs: Programs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up("--plan") == 0
    assert programs.calls == []
    assert not (tmp_path / "state").exists()
    script = capsys.readouterr().out
    assert up() == 0
    questions = ("inspect", "image", "ps", "info")
    done = [call for call in programs.calls if call[1] not in questions and call != ["kind", "version"]]
    programs.calls.clear()
    programs.containers.clear()
    programs.images.clear()
    shutil.move(tmp_path / "state", tmp_path / "done")
    subprocess.run(["sh", "-e", "-c", script], check=True, timeout=120)
    typed = [call for call in programs.calls if call[1] not in questions]
    assert typed == done

    def files_of(root: Path) -> dict[str, str]:
        return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}

    assert files_of(tmp_path / "state") == files_of(tmp_path / "done")


def test_mirrors_reach_the_nodes_and_the_engine(programs: Programs, tmp_path: Path) -> None:
    programs.fail("docker", "exec")
    assert up("--mirror", "quay.io=mirror.lab:5000/quay", "--mirror", "docker.io=http://10.0.0.9:5001") == 10
    (build,) = [call for call in said(programs, "docker") if call[0] == "build"]
    node = load().node.removeprefix("docker.io/")
    assert f"NODE=10.0.0.9:5001/{node}" in build
    state = tmp_path / "state/virtlab/kind/virtlab"
    assert (state / "certs.d/quay.io/hosts.toml").read_text() == (
        'server = "https://quay.io"\n\n[host."https://mirror.lab:5000/v2/quay"]\n'
        '  capabilities = ["pull", "resolve"]\n  override_path = true\n'
    )
    hub = (state / "certs.d/docker.io/hosts.toml").read_text()
    assert hub.startswith('server = "https://registry-1.docker.io"\n\n[host."http://10.0.0.9:5001/v2"]')
    config = yaml.safe_load((state / "kind.yaml").read_text())
    mounts = {m["containerPath"]: m["hostPath"] for m in config["nodes"][1]["extraMounts"]}
    assert mounts["/etc/containerd/certs.d"] == str(state / "certs.d")


def test_an_image_that_cannot_be_had_ends_the_wait_at_once(
    programs: Programs, api: KindApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.workload("ovn-kubernetes", "daemonsets", "ovnkube-node", {**ROLLED, "numberReady": 0})
    waiting = {"reason": "ErrImagePull", "message": 'failed to pull "ghcr.io/x:1": not found'}
    pod = {"metadata": {"name": "ovnkube-node-a", "namespace": "ovn-kubernetes"},
           "status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}  # fmt: skip
    api.objects("/api/v1/namespaces/ovn-kubernetes/pods", pod)
    assert up() == 10
    message = capsys.readouterr().err
    assert message.startswith("virtlab: DaemonSet ovn-kubernetes/ovnkube-node: gave up after")
    assert 'ovnkube-node-a: ErrImagePull failed to pull "ghcr.io/x:1": not found' in message
    assert said(programs, "kubectl")[-1][-1] != "nmstate.yaml"


def test_a_wait_that_ends_says_what_was_seen_last(
    programs: Programs, api: KindApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "ROLLOUT_S", 0.3)
    api.nodes[2]["status"]["conditions"][0]["status"] = "False"
    assert up() == 10
    message = capsys.readouterr().err
    assert message.startswith("virtlab: Node: waited 0.")
    assert "wanted: every node Ready" in message
    assert "last seen: lacking: virtlab-worker2" in message


def workload(generation: int = 2, **status: Any) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "d", "generation": generation}, "spec": {"replicas": 2}, "status": status}]


@pytest.mark.parametrize(
    ("objects", "met"),
    [
        ([], False),
        (workload(), False),
        (workload(observedGeneration=2, updatedReplicas=2, readyReplicas=2), True),
        (workload(observedGeneration=1, updatedReplicas=2, readyReplicas=2), False),
        (workload(observedGeneration=2, updatedReplicas=1, readyReplicas=2), False),
        (workload(observedGeneration=2, desiredNumberScheduled=0, updatedNumberScheduled=0, numberReady=0), False),
        (workload(observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberReady=3), True),
        (workload(observedGeneration=2, desiredNumberScheduled=3, updatedNumberScheduled=3, numberReady=2), False),
    ],
)
def test_rolled_out_is_all_pods_of_the_newest_template(objects: list[dict[str, Any]], met: bool) -> None:
    assert checks.rolled_out(objects).met is met


def test_pods_that_only_start_hold_nothing_up_and_a_slow_registry_is_not_final() -> None:
    def waiting(reason: str, message: str = "") -> dict[str, Any]:
        state = {"state": {"waiting": {"reason": reason, "message": message}}}
        return {"metadata": {"name": "p"}, "status": {"initContainerStatuses": [state]}}

    assert checks.held_up([waiting("ContainerCreating"), waiting("PodInitializing")]) == ("", "")
    assert checks.held_up([waiting("ErrImagePull", "i/o timeout")]) == ("p: ErrImagePull i/o timeout", "")
    assert checks.held_up([waiting("ImagePullBackOff", "manifest unknown")])[1].startswith("p: ImagePullBackOff")
    assert checks.held_up([waiting("CrashLoopBackOff", "not found")])[1] == ""
