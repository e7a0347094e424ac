"""`virtlab kind`: the one file of versions, and what is generated from it: cluster configuration, kustomization, image.

Where the real kind or kubectl is at hand, it has the word.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.core.errors import UsageError
from lab.kind import cli, files, steps
from lab.kind.versions import load
from lab.kind.words import Command, Wait
from lab.survey.draft import IMAGE
from lab.target.inventory import POD_IMAGE
from tests.conftest import ROOT
from tests.unit.kind.kindprograms import NAMES


def test_every_image_and_manifest_is_pinned_in_the_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    versions = load()
    assert cli.main(["images"]) == 0
    images = capsys.readouterr().out.split()
    assert images == versions.images
    assert len(set(images)) == len(images)
    assert {IMAGE, POD_IMAGE} <= set(images)
    assert "@sha256:" in versions.node
    for image in images:
        tag = image.partition("@")[0].rpartition(":")[2]
        assert "/" not in tag
        assert (tag != "latest") or image in versions.guests
    for part in versions.parts.values():
        for url in part.manifests:
            assert part.version in url or part.name == "multus", url
        for image in part.images:
            if part.name not in ("ovn-kubernetes",) and "rbac-proxy" not in image:
                assert part.version in image, image


def test_versions_stand_nowhere_else() -> None:
    versions = load()
    said = {versions.kind, *(part.version for part in versions.parts.values())} - {"1.3.0", "4.3.0"}
    sources = [*(ROOT / "lab/kind").glob("*.py"), *(ROOT / "deploy/kind/node").iterdir()]
    assert [(path.name, version) for path in sources for version in said if version in path.read_text()] == []


def test_a_versions_file_that_lacks_a_key_is_told(tmp_path: Path) -> None:
    file = tmp_path / "versions.yaml"
    file.write_text("kind: {version: 1.0.0, from: x}\n")
    with pytest.raises(UsageError, match=r"no 'ovn-kubernetes'"):
        load(file)
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none")


def test_the_configuration_is_kind_s_v1alpha4() -> None:
    """By the names of kind's own types (pkg/apis/config/v1alpha4/types.go), whose reader refuses any other."""
    config = yaml.safe_load(files.cluster("virtlab", 2, "image:1", "/o", "/m"))
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert set(config) == {"kind", "apiVersion", "name", "networking", "nodes"}
    assert config["networking"] == {
        "disableDefaultCNI": True, "kubeProxyMode": "none", "ipFamily": "ipv4", "podSubnet": "10.244.0.0/16",
        "serviceSubnet": "10.96.0.0/16",
    }  # fmt: skip
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert all(set(node) == {"role", "image", "extraMounts"} for node in config["nodes"])
    assert all(set(m) == {"hostPath", "containerPath", "readOnly"} for n in config["nodes"] for m in n["extraMounts"])


@pytest.mark.parametrize("spoil", ["", "kubeProxyMode: none", "extraMounts"])
def test_kind_itself_accepts_it(spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real program, with an engine that refuses to make a network: it has validated the file by then."""
    real = os.environ.get("VIRTLAB_KIND") or shutil.which("kind")
    if not real:
        pytest.skip("no kind on this host (PATH, or VIRTLAB_KIND): its own validation is not asked")
    engine = tmp_path / "docker"
    engine.write_text(
        "#!/bin/sh\ncase \"$1 $2\" in\n-v*) echo 'Docker version 27.0.0, build x';;\n"
        'info*) echo \'{"Driver":"overlay2","CgroupVersion":"2","SecurityOptions":[]}\';;\nps*) ;;\n'
        "'inspect --type=image') echo '[{}]';;\n*) echo 'no networks here' >&2; exit 1;;\nesac\n"
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    text = files.cluster("virtlab", 2, "image:1", "/o", "/m")
    (tmp_path / "kind.yaml").write_text(text.replace(spoil, "wrong: value") if spoil else text)
    done = subprocess.run(
        [real, "create", "cluster", "--config", str(tmp_path / "kind.yaml"), "--kubeconfig", str(tmp_path / "k")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    accepted = "no networks here" in done.stderr
    assert accepted is not bool(spoil), done.stderr


def test_kustomize_puts_the_pinned_image_into_multus(tmp_path: Path) -> None:
    """With a manifest of upstream's shape in place of the one that is downloaded."""
    part = load().parts["multus"]
    name = part.images[0].rpartition(":")[0]
    container = {"name": "kube-multus", "image": f"{name}:snapshot-thick", "resources": {"limits": {"memory": "50Mi"}}}
    pod = {"containers": [container], "initContainers": [{"name": "install", "image": f"{name}:snapshot-thick"}]}
    meta = {"name": "kube-multus-ds", "namespace": "kube-system"}
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {"template": {"spec": pod}}}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(daemon))
    text = files.multus(part).replace(part.manifests[0], "manifest.yaml")
    (tmp_path / "kustomization.yaml").write_text(text)
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this host")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]
    images = {c["image"] for c in (*made["containers"], *made["initContainers"])}
    assert images == set(part.images)
    assert made["containers"][0]["resources"]["limits"]["memory"] == "300Mi"


def test_the_node_image_changes_its_name_with_what_goes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = steps.Wanted("virtlab", 2, "docker", Path("/s"), platform.machine(), load())
    before = wanted.image
    assert before.startswith("localhost/virtlab-kind-node:v1.35.8-")
    shutil.copytree(steps.FOLDER, tmp_path / "kind")
    monkeypatch.setattr(steps, "FOLDER", tmp_path / "kind")
    assert wanted.image == before
    (tmp_path / "kind/node/Containerfile").write_text("FROM scratch")
    assert wanted.image != before


def test_waits_have_limits_and_words() -> None:
    wanted = steps.Wanted("virtlab", 2, "docker", Path("/s"), "x86_64", load())
    waits = [action for step in steps.up(wanted) for action in step.actions if isinstance(action, Wait)]
    assert all(wait.seconds > 0 and wait.wanted for wait in waits)
    commands = [action for step in steps.up(wanted) for action in step.actions if isinstance(action, Command)]
    assert all(command.seconds > 0 for command in commands)
    assert {str(command.argv[0]) for command in commands} <= set(NAMES)
