"""What a person types: kubectl against the server, its output compared where upstream fixes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import vm_manifest

Run = Callable[..., subprocess.CompletedProcess[str]]

POLICY = """
apiVersion: nmstate.io/v1
kind: NodeNetworkConfigurationPolicy
metadata:
  name: localnet-coe
spec:
  desiredState:
    interfaces:
    - name: ovs-br1
      type: ovs-bridge
      state: up
"""


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run kubectl in the test's namespace."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("needs kubectl on PATH, found none")
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home)}

    def run(*argv: str, input: str | dict[str, Any] = "", check: bool = True, **env: str) -> Any:
        text = input if isinstance(input, str) else json.dumps(input)
        done = subprocess.run(
            [program, "-n", namespace, *argv],
            input=text,
            text=True,
            capture_output=True,
            env={**environment, **env},
            timeout=30,
            check=False,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(argv)}: {done.stderr}"
        return done

    return run


def test_columns_of_policies_and_enactments(kubectl: Run) -> None:
    enactment = {
        "apiVersion": "nmstate.io/v1beta1",
        "kind": "NodeNetworkConfigurationEnactment",
        "metadata": {"name": "ocp1-worker-1.localnet-coe"},
    }
    kubectl("apply", "-f", "-", input=POLICY)
    kubectl("apply", "-f", "-", input=enactment)
    condition = {
        "type": "Available",
        "status": "True",
        "reason": "SuccessfullyConfigured",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {"conditions": [{"type": "Degraded", "status": "False"}, condition]}})
    for name in ("nncp/localnet-coe", "nnce/ocp1-worker-1.localnet-coe"):
        kubectl("patch", name, "--subresource=status", "--type=merge", "-p", patch)
    lines = [line.split() for line in kubectl("get", "nncp,nnce").stdout.splitlines()]
    assert lines[0] == ["NAME", "STATUS", "REASON"]
    policy = "nodenetworkconfigurationpolicy.nmstate.io/localnet-coe"
    assert lines[1] == [policy, "Available", "SuccessfullyConfigured"]
    assert lines[3] == ["NAME", "STATUS", "STATUS", "AGE", "REASON"]
    row = lines[4]
    assert row[0] == "nodenetworkconfigurationenactment.nmstate.io/ocp1-worker-1.localnet-coe"
    assert (row[1], row[3]) == ("Available", "SuccessfullyConfigured")
    kubectl("delete", "nncp/localnet-coe", "nnce/ocp1-worker-1.localnet-coe")


def test_apply_edit_and_diff_of_a_vm(kubectl: Run) -> None:
    assert "created" in kubectl("apply", "-f", "-", input=vm_manifest("vm")).stdout
    assert "unchanged" in kubectl("apply", "-f", "-", input=vm_manifest("vm")).stdout
    changed = vm_manifest("vm")
    changed["spec"]["runStrategy"] = "Manual"
    assert "runStrategy: Manual" in kubectl("diff", "-f", "-", input=changed, check=False).stdout
    assert "configured" in kubectl("apply", "-f", "-", input=changed).stdout
    kubectl("edit", "vm", "vm", KUBE_EDITOR="sed -i s/Manual/Always/")
    shown = json.loads(kubectl("get", "vm", "vm", "-o", "json").stdout)
    assert (shown["spec"]["runStrategy"], shown["metadata"]["generation"]) == ("Always", 3)
    assert "runStrategy" in kubectl("explain", "vm.spec").stdout
    assert "Run Strategy:" in kubectl("describe", "vm", "vm").stdout


def test_a_wrong_field_in_a_vm(kubectl: Run) -> None:
    wrong = vm_manifest("vm")
    wrong["spec"]["runing"] = True
    done = kubectl("apply", "-f", "-", input=wrong, check=False)
    assert done.returncode == 1
    assert 'strict decoding error: unknown field "spec.runing"' in done.stderr
    wrong = vm_manifest("vm")
    wrong["spec"]["running"] = "yes"
    done = kubectl("apply", "-f", "-", input=wrong, check=False)
    assert done.stderr.startswith('The VirtualMachine "vm" is invalid: spec.running: Invalid value: "string"')


def test_server_side_apply_conflict(kubectl: Run) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", input=manifest)
    manifest["data"] = {"k": "2"}
    done = kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", input=manifest, check=False)
    assert 'conflict with "one": .data.k' in done.stderr
    kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", input=manifest)


def test_typed_creation_and_deletion(kubectl: Run) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=2")
    kubectl("label", "configmap", "c", "x=y")
    assert kubectl("get", "configmap", "-l", "x=y", "-o", "name").stdout == "configmap/c\n"
    assert kubectl("get", "deployment", "d", "--no-headers").stdout.split()[:2] == ["d", "0/2"]
    kubectl("delete", "configmap,secret,deployment", "c", "s", "d", "--ignore-not-found")
    assert kubectl("get", "configmap", "c", check=False).stderr == (
        'Error from server (NotFound): configmaps "c" not found\n'
    )


def test_a_debug_pod_of_a_node_keeps_what_go_embeds(kubectl: Run) -> None:
    """kubectl sends it as protobuf, where a volume's source is a message of its own."""
    kubectl("apply", "-f", "-", input={"apiVersion": "v1", "kind": "Node", "metadata": {"name": "debugged"}})
    try:
        made = kubectl("debug", "node/debugged", "--image=busybox", "--attach=false", "--profile=general")
        assert "unknown field" not in made.stderr
        pod = json.loads(kubectl("get", "pods", "-o", "json").stdout)["items"][0]
        assert pod["spec"]["volumes"][0]["hostPath"]["path"] == "/"
        assert pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] == "/host"
    finally:
        kubectl("delete", "node", "debugged")


def test_waiting_for_a_condition(kubectl: Run) -> None:
    kubectl("apply", "-f", "-", input=vm_manifest("vm"))
    patch = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    later = threading.Timer(
        0.5, lambda: kubectl("patch", "vm", "vm", "--subresource=status", "--type=merge", "-p", patch)
    )
    later.start()
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "vm/vm", "--timeout=10s").stdout
    later.join()


def test_rights_and_resources(kubectl: Run) -> None:
    assert kubectl("auth", "can-i", "create", "pods").stdout == "yes\n"
    assert "Username" in kubectl("auth", "whoami").stdout
    rows = [line.split() for line in kubectl("api-resources", "--no-headers").stdout.splitlines()]
    assert ["nodenetworkstates", "nns", "nmstate.io/v1beta1", "false", "NodeNetworkState"] in rows
    assert ["virtualmachineinstances", "vmi,vmis", "kubevirt.io/v1", "true", "VirtualMachineInstance"] in rows


def test_pods_wide(kubectl: Run, own_server: Any) -> None:
    manifest = """
        apiVersion: v1
        kind: Pod
        metadata: {name: p}
        spec:
          nodeName: worker-1
          containers: [{name: c, image: busybox}]
          readinessGates: [{conditionType: kubevirt.io/virtual-machine-unpaused}]
    """
    kubectl("apply", "-f", "-", input=textwrap.dedent(manifest))
    state = {"name": "c", "ready": False, "restartCount": 0, "image": "busybox", "imageID": ""}
    terminated = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    status = {"phase": "Succeeded", "podIP": "10.131.9.28", "containerStatuses": [{**state, "state": terminated}]}
    kubectl("patch", "pod", "p", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    header, row = kubectl("get", "pods", "-o", "wide").stdout.splitlines()
    assert header.split() == (
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES".split()  # noqa: SIM905
    )
    cells = row.split()
    assert cells[:4] == ["p", "0/1", "Completed", "0"]
    assert cells[5:] == ["10.131.9.28", "worker-1", "<none>", "0/1"]


def test_the_shipped_roles_as_a_clusters_owner_grants_them(kubectl: Run, kubeconfig: Path) -> None:
    deploy = Path(__file__).parents[2] / "deploy"

    def owner(*argv: str) -> str:
        """Without a namespace: the manifests name several."""
        words = ["kubectl", "--kubeconfig", str(kubeconfig), *argv]
        return subprocess.run(words, text=True, capture_output=True, timeout=30, check=True).stdout

    for name in ("rbac.yaml", "openshift.yaml"):
        assert "clusterrole.rbac.authorization.k8s.io/virtlab" in owner("apply", "-f", str(deploy / name))
    try:
        mine = ["--token", owner("create", "token", "virtlab", "-n", "virtlab", "--duration", "8h").strip()]
        who = kubectl(*mine, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout
        assert who == "system:serviceaccount:virtlab:virtlab"
        assert kubectl(*mine, "auth", "can-i", "create", "virtualmachines.kubevirt.io").stdout == "yes\n"
        assert kubectl(*mine, "auth", "can-i", "get", "secrets", check=False).stdout == "no\n"
        refused = kubectl(*mine, "get", "secrets", check=False).stderr
        assert f'User "{who}" cannot list resource "secrets" in API group ""' in refused
        assert "nodenetworkconfigurationpolicies.nmstate.io" in kubectl(*mine, "auth", "can-i", "--list").stdout
    finally:
        for name in ("openshift.yaml", "rbac.yaml"):
            owner("delete", "-f", str(deploy / name), "--wait=false", "--ignore-not-found")
