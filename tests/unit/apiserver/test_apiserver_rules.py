"""Schemas, selectors, paths, patches and ages: the pure rules."""

from __future__ import annotations

from typing import Any

import pytest

from lab.embedded.apiserver import fields, jsonpath, objects, patching, routing, schema, selectors, tables
from lab.embedded.apiserver.builtin import builtin_resources, model_schema
from lab.embedded.apiserver.crdfiles import field_schema, struct_schema
from lab.embedded.apiserver.errors import StatusError, invalid
from lab.embedded.apiserver.resources import version_priority

SCHEMA = struct_schema(
    {
        "name*": "s",
        "count": "i32",
        "mode": "s:a|b",
        "size": "q",
        "when": "t?",
        "free": "any",
        "tags{}": "s",
        "items[2]": {"key*": "s", "state": "s=up"},
        "named[name]": {"name*": "s", "value": "i"},
    }
)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ({"name": "x", "count": 1, "mode": "a", "size": 5, "when": None}, []),
        ({"name": "x", "size": "5Gi", "free": {"any": [1]}}, []),
        ({}, ["name: Required value"]),
        ({"name": 7}, ['name: Invalid value: "integer": name in body must be of type string: "integer"']),
        ({"name": None}, ['name: Invalid value: "null": name in body must be of type string: "null"']),
        ({"name": "x", "mode": "c"}, ['mode: Unsupported value: "c": supported values: "a", "b"']),
        ({"name": "x", "items": [{}]}, ["items[0].key: Required value"]),
        ({"name": "x", "items": [{"key": "1"}] * 3}, ["items: Too many: 3: must have at most 2 items"]),
        ({"name": "x", "named": [{"name": "n"}, {"name": "n"}]}, ['named[1]: Duplicate value: {"name":"n"}']),
        (
            {"name": "x", "count": True},
            ['count: Invalid value: "boolean": count in body must be of type integer: "boolean"'],
        ),
        (
            {"name": "x", "count": 2**31},
            [f"count: Invalid value: {2**31}: count in body must be of type int32: {2**31}"],
        ),
        ({"name": "x", "when": "now"}, ['when: Invalid value: "now": when in body must be of type date-time: "now"']),
        (
            {"name": "x", "tags": {"a": 1}},
            ['tags.a: Invalid value: "integer": tags.a in body must be of type string: "integer"'],
        ),
    ],
)
def test_validation_texts(value: dict[str, Any], texts: list[str]) -> None:
    assert [cause.text() for cause in schema.validate(value, SCHEMA)] == texts


def test_several_causes_are_bracketed() -> None:
    causes = schema.validate({"mode": "c"}, SCHEMA)
    error = invalid("kubevirt.io", "VirtualMachine", "x", causes)
    assert error.message.startswith('VirtualMachine.kubevirt.io "x" is invalid: [name: Required value, mode: Unsupp')
    assert error.code == 422


def test_prune_and_defaults() -> None:
    value = {"name": "x", "nonsense": 1, "free": {"kept": 1}, "items": [{"key": "1", "bad": 2}], "tags": {"a": "b"}}
    assert schema.prune(value, SCHEMA) == ["nonsense", "items[0].bad"]
    schema.apply_defaults(value, SCHEMA)
    assert value == {
        "name": "x",
        "free": {"kept": 1},
        "items": [{"key": "1", "state": "up"}],
        "tags": {"a": "b"},
    }


def test_notation_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="no field type"):
        field_schema("string")
    with pytest.raises(ValueError, match="is no field"):
        struct_schema({"a[": "s"})


@pytest.mark.parametrize(
    ("selector", "labels", "wanted"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b,c", {"a": "b"}, False),
        ("!c", {"a": "b"}, True),
        ("a!=b", {}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b)", {}, True),
        ("x.io/y=z", {"x.io/y": "z"}, True),
        ("n>5", {"n": "6"}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], wanted: bool) -> None:
    predicate = selectors.label_selector(selector)
    assert predicate is not None
    assert predicate({"metadata": {"labels": labels}}) is wanted


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    for text, wanted in (("spec.nodeName=n", True), ("status.phase!=Running", False), ("spec.nodeName=", False)):
        predicate = selectors.field_selector(text, ("", "pods"))
        assert predicate is not None
        assert predicate(pod) is wanted
    with pytest.raises(StatusError, match="field label not supported"):
        selectors.field_selector("spec.nodeName=n", ("", "configmaps"))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ('.status.conditions[?(@.status=="True")].type', ["Available"]),
        (".status.conditions[?(@.type=='Ready')].status", ["False"]),
        (".status.interfaces[0].ip", ["10.0.0.1"]),
        (".status.interfaces[*].ip", ["10.0.0.1", "10.0.0.2"]),
        (r".metadata.annotations.a\.b/c", ["d"]),
        (".metadata.annotations['a.b/c']", ["d"]),
        ("{.spec.none}", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    conditions = [{"type": "Ready", "status": "False"}, {"type": "Available", "status": "True"}]
    status = {"conditions": conditions, "interfaces": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}
    obj = {"metadata": {"annotations": {"a.b/c": "d"}}, "spec": {}, "status": status}
    assert jsonpath.compile_path(path)(obj) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11000, "3h3m"),
        (86400 * 1.5, "36h"),
        (86400 * 6 + 7200, "6d2h"),
        (86400 * 11, "11d"),
        (86400 * 800, "2y70d"),
        (-5, "<invalid>"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert tables.human_duration(seconds) == text


def test_strategic_patch_directives() -> None:
    pod = {
        "metadata": {"finalizers": ["a"]},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "y"}},
    }
    patch = {
        "metadata": {"finalizers": ["b"], "$deleteFromPrimitiveList/finalizers": ["a"]},
        "spec": {
            "containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
            "nodeSelector": {"$patch": "replace", "z": "1"},
        },
    }
    result = patching.strategic_patch(pod, patch, model_schema("V1Pod"))
    assert [container["name"] for container in result["spec"]["containers"]] == ["c", "b"]
    assert result["spec"]["nodeSelector"] == {"z": "1"}
    assert pod["spec"]["containers"] == [{"name": "a"}, {"name": "b"}]


def test_field_sets_round_trip() -> None:
    obj = {
        "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["f"]},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}], "tolerations": [{"key": "x"}]},
    }
    paths = set(fields.fields_of(obj, model_schema("V1Pod")))
    assert fields.decode(fields.encode(paths)) == paths
    texts = {fields.pretty(path) for path in paths}
    assert '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]' in texts
    assert ".spec.tolerations" in texts
    assert '.metadata.finalizers[="f"]' in texts


def test_routes() -> None:
    def parsed(path: str) -> tuple[str, ...]:
        route = routing.parse(routing.split(path))
        assert route is not None
        return (route.group, route.version, route.namespace, route.plural, route.name, route.subresource)

    assert parsed("/api/v1/namespaces") == ("", "v1", "", "namespaces", "", "")
    assert parsed("/api/v1/namespaces/a/status") == ("", "v1", "", "namespaces", "a", "status")
    assert parsed("/api/v1/namespaces/a/pods") == ("", "v1", "a", "pods", "", "")
    assert parsed("/api/v1/namespaces/a/pods/p/exec") == ("", "v1", "a", "pods", "p", "exec")
    assert parsed("/apis/kubevirt.io/v1/namespaces/a/virtualmachines/x%2Fy") == (
        "kubevirt.io",
        "v1",
        "a",
        "virtualmachines",
        "x/y",
        "",
    )


def test_version_order() -> None:
    versions = ["v1alpha1", "v2", "v1", "v1beta1", "v1beta2", "other"]
    wanted = ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "other"]
    assert sorted(versions, key=version_priority, reverse=True) == wanted


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a" * 254, "a..b", ""])
def test_bad_names(name: str) -> None:
    pods = next(resource for resource in builtin_resources() if resource.plural == "pods")
    assert objects.check_name(pods, {"name": name})
