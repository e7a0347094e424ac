"""The debug pod of a node, from the literal manifest."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.netmanager.debugpod import manifest

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
