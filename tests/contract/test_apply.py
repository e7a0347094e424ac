"""Server-side apply: ownership, conflicts, force, removal of what an owner no longer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import ConflictError

from .conftest import vm_manifest


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def managers(obj: Any) -> dict[str, Any]:
    entries = obj.to_dict()["metadata"]["managedFields"]
    return {f"{entry['manager']}/{entry['operation']}": entry["fieldsV1"] for entry in entries}


def apply(resource: Any, body: dict[str, Any], namespace: str, manager: str, *, force: bool = False) -> Any:
    query: dict[str, Any] = {"field_manager": manager, "force_conflicts": force}
    return resource.server_side_apply(body=body, name=body["metadata"]["name"], namespace=namespace, **query)


def test_two_managers_share_an_object(configmaps: Any, namespace: str) -> None:
    apply(configmaps, config_map(a="1"), namespace, "first")
    both = apply(configmaps, config_map(b="2"), namespace, "second")
    assert both.data.to_dict() == {"a": "1", "b": "2"}
    assert managers(both) == {"first/Apply": {"f:data": {"f:a": {}}}, "second/Apply": {"f:data": {"f:b": {}}}}


def test_apply_again_changes_nothing(configmaps: Any, namespace: str) -> None:
    first = apply(configmaps, config_map(a="1"), namespace, "first")
    again = apply(configmaps, config_map(a="1"), namespace, "first")
    assert again.metadata.resourceVersion == first.metadata.resourceVersion


def test_conflict_names_manager_and_field(configmaps: Any, namespace: str) -> None:
    apply(configmaps, config_map(a="1"), namespace, "first")
    with pytest.raises(ConflictError) as caught:
        apply(configmaps, config_map(a="2"), namespace, "second")
    status = json.loads(caught.value.body)
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.a'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".data.a"}
    ]
    assert configmaps.get(name="a", namespace=namespace).data.a == "1"


def test_the_same_value_is_shared_and_force_takes(configmaps: Any, namespace: str) -> None:
    apply(configmaps, config_map(a="1"), namespace, "first")
    shared = apply(configmaps, config_map(a="1"), namespace, "second")
    assert set(managers(shared)) == {"first/Apply", "second/Apply"}
    taken = apply(configmaps, config_map(a="2"), namespace, "second", force=True)
    assert taken.data.a == "2"
    assert set(managers(taken)) == {"second/Apply"}


def test_a_field_no_longer_applied_goes(configmaps: Any, namespace: str) -> None:
    apply(configmaps, config_map(a="1", b="2"), namespace, "first")
    left = apply(configmaps, config_map(a="1"), namespace, "first")
    assert left.data.to_dict() == {"a": "1"}


def test_an_update_takes_ownership(configmaps: Any, namespace: str) -> None:
    apply(configmaps, config_map(a="1"), namespace, "first")
    kind = "application/merge-patch+json"
    patch = {"data": {"a": "9"}}
    configmaps.patch(body=patch, name="a", namespace=namespace, content_type=kind, field_manager="editor")
    with pytest.raises(ConflictError) as caught:
        apply(configmaps, config_map(a="1"), namespace, "first")
    assert 'conflict with "editor" using v1' in json.loads(caught.value.body)["message"]


def test_list_items_are_owned_by_key(dynamic: Any, namespace: str) -> None:
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    spec = {"containers": [{"name": "a", "image": "x:1"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    made = apply(pods, body, namespace, "first")
    fields = managers(made)["first/Apply"]["f:spec"]["f:containers"]
    assert fields == {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}}


def test_apply_of_a_custom_resource(vms: Any, namespace: str) -> None:
    made = apply(vms, vm_manifest("vm"), namespace, "virtlab")
    assert made.metadata.generation == 1
    body = vm_manifest("vm")
    body["spec"]["runStrategy"] = "Always"
    changed = apply(vms, body, namespace, "virtlab")
    assert changed.metadata.generation == 2
    assert changed.spec.template.spec.domain.memory.guest == "128Mi"
