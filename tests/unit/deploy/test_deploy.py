"""What is shipped for nightly runs holds together: files, names, rights, and options that `virtlab run` really has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from lab.cli import RUN_OPTIONS
from lab.embedded.apiserver.podsecurity import Policy, violations
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
NIGHTLY = DEPLOY / "nightly"


def documents(path: Path) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(path.read_text(encoding="utf-8")) if body]


def pod() -> dict[str, Any]:
    (cron,) = documents(NIGHTLY / "cronjob.yaml")
    found: dict[str, Any] = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_the_kustomization_names_what_is_there() -> None:
    (kustomization,) = documents(NIGHTLY / "kustomization.yaml")
    listed = kustomization["resources"]
    assert [name for name in listed if not (NIGHTLY / name).is_file()] == []
    (made,) = kustomization["configMapGenerator"]
    assert made["name"] in {v["configMap"]["name"] for v in pod()["volumes"] if "configMap" in v}
    assert [image["name"] for image in kustomization["images"]] == [c["image"] for c in pod()["containers"]]
    # A namespace for all would move the roles for the Lease and the nodes' heartbeats, too.
    assert "namespace" not in kustomization
    assert {
        body["metadata"]["namespace"] for name in listed if name != "../rbac.yaml" for body in documents(NIGHTLY / name)
    } == {made["namespace"]}


def test_the_job_runs_as_the_account_that_has_the_rights_and_may_write_only_its_results() -> None:
    roles = documents(DEPLOY / "rbac.yaml")
    (account,) = [body for body in roles if body["kind"] == "ServiceAccount"]
    bound = [s["name"] for body in roles if body["kind"].endswith("Binding") for s in body["subjects"]]
    assert {pod()["serviceAccountName"]} == {account["metadata"]["name"]} | set(bound)
    (container,) = pod()["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")] == ["/results", "/tmp"]
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod()["volumes"] if "persistentVolumeClaim" in v]
    assert claims == [body["metadata"]["name"] for body in documents(NIGHTLY / "results.yaml")]


def test_every_option_that_is_given_is_one_of_a_run() -> None:
    (task,) = documents(DEPLOY / "examples/tekton.yaml")
    (step,) = task["spec"]["steps"]
    (container,) = pod()["containers"]
    said = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["virtlab"]' in said
    for words in (step["args"], container["args"]):
        assert words[0] == "run"
        options = [word for word in words[1:] if word.startswith("-")]
        assert set(options) <= {*RUN_OPTIONS, "-m"}


def test_the_workflow_calls_what_a_person_types() -> None:
    (workflow,) = documents(DEPLOY / "examples/github-actions.yaml")
    runs = [step["run"] for step in workflow["jobs"]["run"]["steps"] if "run" in step]
    assert "make run" in runs


def test_where_results_go_comes_from_secrets_that_may_be_missing_and_by_names_that_are_read() -> None:
    (container,) = pod()["containers"]
    said = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in container["env"]}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "reports").glob("*.py"))
    assert set(said) == {"VIRTLAB_STORE", "VIRTLAB_UPLOAD"}
    assert all(name in sources for name in said)
    (keys,) = container["envFrom"]
    assert all(reference["optional"] is True for reference in (*said.values(), keys["secretRef"]))
    nightly = (ROOT / "docs/nightly.md").read_text(encoding="utf-8")
    for name in (*(reference["name"] for reference in said.values()), keys["secretRef"]["name"]):
        assert f"kubectl create secret generic {name} " in nightly


def test_the_image_s_user_is_one_that_openssh_knows() -> None:
    said = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (\d+)$", said, re.MULTILINE)
    assert f"virtlab:x:{user}:" in said
    assert "openssh-client" in said


def test_the_job_itself_runs_where_pods_are_restricted() -> None:
    assert violations(Policy("restricted"), pod()) == []
