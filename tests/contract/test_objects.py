"""Create, read, change and delete, as any client may expect of a Kubernetes API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

from .conftest import vm_manifest


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"k": "v"}}


def status_of(error: ApiException) -> dict[str, Any]:
    body = error.body
    loaded: dict[str, Any] = json.loads(body)
    return loaded


def test_create_sets_what_the_server_owns(configmaps: Any, namespace: str) -> None:
    made = configmaps.create(config_map(), namespace=namespace)
    assert made.metadata.uid
    assert made.metadata.creationTimestamp.endswith("Z")
    assert made.metadata.namespace == namespace
    assert int(made.metadata.resourceVersion) > 0


def test_create_twice_is_a_conflict(configmaps: Any, namespace: str) -> None:
    configmaps.create(config_map(), namespace=namespace)
    with pytest.raises(ConflictError) as caught:
        configmaps.create(config_map(), namespace=namespace)
    status = status_of(caught.value)
    assert status["reason"] == "AlreadyExists"
    assert status["message"] == 'configmaps "a" already exists'


def test_generate_name(configmaps: Any, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}
    names = {configmaps.create(body, namespace=namespace).metadata.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


def test_get_of_nothing(configmaps: Any, namespace: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        configmaps.get(name="none", namespace=namespace)
    assert status_of(caught.value)["message"] == 'configmaps "none" not found'


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_namespaces_that_may_not_be_deleted(api: client.ApiClient, name: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as caught:
        core.delete_namespace(name)
    assert caught.value.status == 403
    assert status_of(caught.value)["message"] == (
        f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    )
    assert core.read_namespace(name).metadata.deletion_timestamp is None


def test_create_in_a_missing_namespace(configmaps: Any) -> None:
    with pytest.raises(NotFoundError) as caught:
        configmaps.create(config_map(), namespace="no-such-namespace")
    assert status_of(caught.value)["message"] == 'namespaces "no-such-namespace" not found'


def test_update_of_an_old_version_is_a_conflict(configmaps: Any, namespace: str) -> None:
    old = configmaps.create(config_map(), namespace=namespace).to_dict()
    new = json.loads(json.dumps(old))
    new["data"] = {"k": "w"}
    configmaps.replace(new, namespace=namespace)
    old["data"] = {"k": "x"}
    with pytest.raises(ConflictError) as caught:
        configmaps.replace(old, namespace=namespace)
    assert status_of(caught.value)["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


def test_update_without_a_change_keeps_the_version(configmaps: Any, namespace: str) -> None:
    made = configmaps.create(config_map(), namespace=namespace).to_dict()
    again = configmaps.replace(made, namespace=namespace)
    assert again.metadata.resourceVersion == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/merge-patch+json", {"data": {"b": "2", "a": None}}),
        ("application/strategic-merge-patch+json", {"data": {"b": "2", "a": None}}),
        (
            "application/json-patch+json",
            [{"op": "add", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/a"}],
        ),
    ],
)
def test_patches(configmaps: Any, namespace: str, content_type: str, patch: Any) -> None:
    configmaps.create(config_map(a="1"), namespace=namespace)
    changed = configmaps.patch(body=patch, name="a", namespace=namespace, content_type=content_type)
    assert changed.data.to_dict() == {"b": "2"}


def test_strategic_patch_merges_containers_by_name(dynamic: Any, namespace: str) -> None:
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    spec = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}
    pods.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}, namespace=namespace)
    patch = {"spec": {"containers": [{"name": "b", "image": "y:2"}]}}
    kind = "application/strategic-merge-patch+json"
    changed = pods.patch(body=patch, name="p", namespace=namespace, content_type=kind)
    assert [(c.name, c.image) for c in changed.spec.containers] == [("a", "x:1"), ("b", "y:2")]


def test_a_failed_test_operation_changes_nothing(configmaps: Any, namespace: str) -> None:
    configmaps.create(config_map(), namespace=namespace)
    patch = [{"op": "test", "path": "/data/k", "value": "other"}, {"op": "remove", "path": "/data/k"}]
    with pytest.raises(UnprocessibleEntityError):
        configmaps.patch(body=patch, name="a", namespace=namespace, content_type="application/json-patch+json")
    assert configmaps.get(name="a", namespace=namespace).data.k == "v"


def test_selectors_and_paging(configmaps: Any, namespace: str) -> None:
    for index in range(5):
        body = config_map(f"m{index}")
        body["metadata"]["labels"] = {"n": str(index), "app": "x" if index % 2 else "y"}
        configmaps.create(body, namespace=namespace)

    def names(**query: Any) -> list[str]:
        return [item.metadata.name for item in configmaps.get(namespace=namespace, **query).items]

    assert names(label_selector="app=x") == ["m1", "m3"]
    assert names(label_selector="n in (0,2),app!=x") == ["m0", "m2"]
    assert names(label_selector="n notin (0,1,2,3,4),n") == []
    assert names(field_selector="metadata.name=m2") == ["m2"]
    first = configmaps.get(namespace=namespace, limit=2, label_selector="n")
    assert first.metadata["continue"]
    query = {"namespace": namespace, "limit": 10, "label_selector": "n", "_continue": first.metadata["continue"]}
    assert len(first.items) + len(configmaps.get(**query).items) == 5


def test_dry_run_stores_nothing(configmaps: Any, namespace: str) -> None:
    made = configmaps.create(config_map(), namespace=namespace, dry_run="All")
    assert made.data.k == "v"
    with pytest.raises(NotFoundError):
        configmaps.get(name="a", namespace=namespace)


def test_finalizers_hold_an_object(configmaps: Any, namespace: str) -> None:
    body = config_map()
    body["metadata"]["finalizers"] = ["virtlab.dev/held"]
    configmaps.create(body, namespace=namespace)
    configmaps.delete(name="a", namespace=namespace)
    assert configmaps.get(name="a", namespace=namespace).metadata.deletionTimestamp
    patch = {"metadata": {"finalizers": None}}
    configmaps.patch(body=patch, name="a", namespace=namespace, content_type="application/merge-patch+json")
    with pytest.raises(NotFoundError):
        configmaps.get(name="a", namespace=namespace)


def test_delete_with_the_uid_of_another_object(configmaps: Any, namespace: str) -> None:
    configmaps.create(config_map(), namespace=namespace)
    options = {"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}
    with pytest.raises(ConflictError) as caught:
        configmaps.delete(name="a", namespace=namespace, body=options)
    assert "Precondition failed: UID in precondition" in status_of(caught.value)["message"]


def test_unscheduled_pod_goes_at_once_and_a_bound_one_waits(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 7}
    for name in ("free", "bound"):
        core.create_namespaced_pod(namespace, {"metadata": {"name": name}, "spec": spec})
    binding = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "worker-x"}}
    core.create_namespaced_pod_binding("bound", namespace, binding, _preload_content=False)
    core.delete_namespaced_pod("free", namespace)
    core.delete_namespaced_pod("bound", namespace)
    left = core.list_namespaced_pod(namespace, field_selector="spec.nodeName=worker-x").items
    assert [pod.metadata.name for pod in left] == ["bound"]
    assert left[0].metadata.deletion_grace_period_seconds == 7
    core.delete_namespaced_pod("bound", namespace, grace_period_seconds=0)
    assert core.list_namespaced_pod(namespace).items == []


def test_status_is_split_from_spec(vms: Any, namespace: str) -> None:
    body = {**vm_manifest("vm"), "status": {"ready": True}}
    made = vms.create(body, namespace=namespace)
    assert made.metadata.generation == 1
    assert "ready" not in (made.to_dict().get("status") or {})
    kind = "application/merge-patch+json"
    vms.status.patch(
        name="vm",
        namespace=namespace,
        content_type=kind,
        body={"status": {"ready": True}, "spec": {"runStrategy": "Always"}},
    )
    now = vms.get(name="vm", namespace=namespace)
    assert (now.status.ready, now.spec.runStrategy, now.metadata.generation) == (True, "Halted", 1)
    vms.patch(name="vm", namespace=namespace, content_type=kind, body={"spec": {"runStrategy": "Manual"}})
    now = vms.get(name="vm", namespace=namespace)
    assert (now.status.ready, now.metadata.generation) == (True, 2)


def test_schema_errors_of_a_vm(vms: Any, namespace: str) -> None:
    body = vm_manifest("vm")
    body["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": "two"}
    del body["spec"]["template"]["spec"]["networks"][0]["name"]
    with pytest.raises(UnprocessibleEntityError) as caught:
        vms.create(body, namespace=namespace)
    status = status_of(caught.value)
    assert status["message"].startswith('VirtualMachine.kubevirt.io "vm" is invalid: [')
    causes = {cause["field"]: (cause["reason"], cause["message"]) for cause in status["details"]["causes"]}
    assert causes["spec.template.spec.networks[0].name"] == ("FieldValueRequired", "Required value")
    assert causes["spec.template.spec.domain.cpu.cores"] == (
        "FieldValueTypeInvalid",
        'Invalid value: "string": spec.template.spec.domain.cpu.cores in body must be of type integer: "string"',
    )


def test_unknown_fields(api: client.ApiClient, vms: Any, namespace: str) -> None:
    body = vm_manifest("vm")
    body["spec"]["runstrategy"] = "Always"
    with pytest.raises(ApiException) as caught:
        client.CustomObjectsApi(api).create_namespaced_custom_object(
            "kubevirt.io", "v1", namespace, "virtualmachines", body, field_validation="Strict"
        )
    assert caught.value.status == 400
    assert 'strict decoding error: unknown field "spec.runstrategy"' in status_of(caught.value)["message"]
    made = vms.create(body, namespace=namespace)
    assert "runstrategy" not in made.spec.to_dict()


def test_namespace_empties_itself(api: client.ApiClient, configmaps: Any) -> None:
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": "contract-emptying"}})
    body = config_map()
    body["metadata"]["finalizers"] = ["virtlab.dev/held"]
    configmaps.create(body, namespace="contract-emptying")
    core.delete_namespace("contract-emptying")
    assert core.read_namespace("contract-emptying").status.phase == "Terminating"
    with pytest.raises(ApiException) as caught:
        configmaps.create(config_map("b"), namespace="contract-emptying")
    assert caught.value.status == 403
    assert "because it is being terminated" in status_of(caught.value)["message"]
    seen = core.list_namespace(field_selector="metadata.name=contract-emptying").metadata.resource_version
    patch = {"metadata": {"finalizers": None}}
    kind = "application/merge-patch+json"
    configmaps.patch(body=patch, name="a", namespace="contract-emptying", content_type=kind)
    from kubernetes import watch

    query = {"field_selector": "metadata.name=contract-emptying", "resource_version": seen, "timeout_seconds": 10}
    types = []
    stream = watch.Watch()
    for event in stream.stream(core.list_namespace, **query):
        types.append(event["type"])
        if event["type"] == "DELETED":
            stream.stop()
    assert types[-1] == "DELETED"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"containers": [{"name": "../../tmp/x", "image": "i"}]}, "spec.containers[0].name: Invalid value"),
        ({"containers": [{"name": "", "image": "i"}]}, "spec.containers[0].name: Required value"),
        ({"volumes": [{"name": "a/../b", "emptyDir": {}}]}, "spec.volumes[0].name: Invalid value"),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/run/../tmp"}}]}, "must not contain '..'"),
        (
            {"containers": [{"name": "c", "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "../b"}]}]},
            "subPath",
        ),
        (
            {"containers": [{"name": "c", "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "/b"}]}]},
            "relative",
        ),
    ],
)
def test_a_pods_names_and_paths_lead_nowhere_else(
    api: client.ApiClient, namespace: str, change: dict[str, Any], said: str
) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], **change}
    with pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(api).create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    assert caught.value.status == 422
    assert said in json.loads(caught.value.body)["message"]
