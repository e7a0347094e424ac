"""The debug pod of a node, from the literal manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import yaml

from lab.access.client import Client
from lab.access.kinds import POD, Kind, Obj
from lab.core.deadline import Deadline
from lab.core.errors import WaitTimeout
from lab.core.wait import Seen
from lab.netmanager.debugpod import LABEL, NodeShell, manifest

TEMPLATE = yaml.safe_load((Path(__file__).parents[3] / "features/nmcli/manifests/debug-pod.yaml").read_text())


def test_it_is_what_oc_debug_makes_on_that_node() -> None:
    pod = manifest(TEMPLATE, name="w2-debug", namespace="ns", node="w2", image="busybox", run="r1")
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("w2-debug", "ns")
    assert pod["metadata"]["labels"]["virtlab.dev/run"] == "r1"
    spec = pod["spec"]
    assert (spec["nodeName"], spec["hostNetwork"], spec["hostPID"], spec["hostIPC"]) == ("w2", True, True, True)
    (container,) = spec["containers"]
    assert (container["image"], container["securityContext"]["privileged"]) == ("busybox", True)
    assert container["volumeMounts"] == [{"name": "host", "mountPath": "/host"}]
    assert spec["volumes"][0]["hostPath"]["path"] == "/"
    assert TEMPLATE["spec"]["nodeName"] == "worker-1", "the template is not changed"


class Cluster:
    """Pods of one namespace; a new one is at once what ``fresh`` says."""

    def __init__(self, phase: str, fresh: str = "Running") -> None:
        pod = manifest(TEMPLATE, name="w2-debug", namespace="ns", node="w2", image="busybox", run="r1")
        self.pods = [{**pod, "status": {"phase": phase}}]
        self.fresh = fresh

    def list(self, kind: Kind, namespace: str, labels: str) -> list[Obj]:
        assert (kind, namespace, labels) == (POD, "ns", LABEL)
        return self.pods

    def create(self, pod: Obj, deadline: Deadline) -> Obj:
        assert "status" not in pod
        self.pods.append({**pod, "status": {"phase": self.fresh}})
        return pod

    def wait_for(
        self, _: Kind, name: str, __: str, wanted: str, check: Callable[[Obj | None], Seen[None]], deadline: Deadline
    ) -> None:
        seen = check(next(pod for pod in self.pods if pod["metadata"]["name"] == name))
        if not seen.met:
            raise WaitTimeout(name, wanted, last=seen.text, elapsed=1.0)


@pytest.mark.parametrize(("phase", "pods"), [("Running", 1), ("Pending", 1), ("Failed", 2), ("Succeeded", 2)])
def test_one_that_ended_gets_a_successor_of_the_same_words(phase: str, pods: int) -> None:
    cluster = Cluster(phase)
    NodeShell(cast(Client, cluster), cluster.pods[0]).revive(Deadline.after(1))
    assert len(cluster.pods) == pods
    first, last = cluster.pods[0], cluster.pods[-1]
    assert last["spec"] == first["spec"]
    assert last["metadata"]["labels"] == first["metadata"]["labels"]
    assert (last["metadata"]["name"] == first["metadata"]["name"]) == (pods == 1)


def test_a_successor_that_does_not_run_is_told() -> None:
    cluster = Cluster("Failed", fresh="Pending")
    with pytest.raises(WaitTimeout, match="it is Pending"):
        NodeShell(cast(Client, cluster), cluster.pods[0]).revive(Deadline.after(1))
