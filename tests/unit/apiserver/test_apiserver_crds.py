"""The lab's CRDs say nothing that upstream's do not: every property of ours exists there, with the same type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.embedded.apiserver import crdfiles, crdschema
from lab.embedded.apiserver.errors import Cause
from lab.embedded.model.releases import KubevirtRelease
from tests.upstream import folder

FOLDER = Path(crdfiles.__file__).parent / "crds"
OURS = {crd["metadata"]["name"]: crd for crd in crdfiles.load(FOLDER)}


def upstream() -> Iterator[dict[str, Any]]:
    for path in sorted(folder().glob("*.yaml")):
        yield from yaml.load_all(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def differences(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> Iterator[str]:
    if theirs.get("x-kubernetes-preserve-unknown-fields") and not theirs.get("properties"):
        return
    for key in ("type", "nullable", "format"):
        if (
            ours.get("properties") is None
            and not ours.get("x-kubernetes-preserve-unknown-fields")
            and ours.get(key) != theirs.get(key)
        ):
            yield f"{path}: {key} is {ours.get(key)!r}, upstream's {theirs.get(key)!r}"
    for key, value in ours.get("properties", {}).items():
        here = f"{path}.{key}"
        found = theirs.get("properties", {}).get(key)
        if found is None:
            yield f"{here} does not exist upstream"
        else:
            yield from differences(value, found, here)
    for key in ("items", "additionalProperties"):
        if isinstance(ours.get(key), dict):
            yield from differences(ours[key], theirs.get(key) or {}, path + ("[]" if key == "items" else "{}"))
    if set(ours.get("required", ())) != set(theirs.get("required", ())) and ours.get("properties"):
        yield f"{path}: required is {sorted(ours.get('required', ()))}, upstream's {sorted(theirs.get('required', ()))}"


def test_every_property_exists_upstream() -> None:
    found: list[str] = []
    for theirs in upstream():
        ours = OURS[theirs["metadata"]["name"]]
        versions = {version["name"]: version for version in theirs["spec"]["versions"]}
        for version in ours["spec"]["versions"]:
            if version["name"] in versions:
                pair = [v["schema"]["openAPIV3Schema"] for v in (version, versions[version["name"]])]
                found += differences(*pair, path=f"{ours['metadata']['name']}/{version['name']}")
    assert found == []


def test_names_columns_and_subresources_are_upstreams() -> None:
    for theirs in upstream():
        ours = OURS[theirs["metadata"]["name"]]["spec"]
        names, wanted = ours["names"], theirs["spec"]["names"]
        assert {k: names.get(k) for k in ("kind", "plural", "singular", "shortNames", "categories")} == {
            k: wanted.get(k) for k in ("kind", "plural", "singular", "shortNames", "categories")
        }
        assert ours["scope"] == theirs["spec"]["scope"]
        mine = {version["name"]: version for version in ours["versions"]}
        for version in theirs["spec"]["versions"]:
            columns = [
                {k: c.get(k) for k in ("name", "type", "jsonPath", "priority")}
                for c in version.get("additionalPrinterColumns", ())
            ]
            own = mine[version["name"]]
            assert columns == [
                {k: c.get(k) for k in ("name", "type", "jsonPath", "priority")}
                for c in own.get("additionalPrinterColumns", ())
            ]
            assert own.get("subresources") == version.get("subresources")
            assert own["storage"] == version["storage"]
            assert own.get("deprecationWarning") == version.get("deprecationWarning")
            assert bool(own.get("deprecated")) == bool(version.get("deprecated"))


def test_expansion_shares_nothing_by_mistake() -> None:
    assert {crd["spec"]["group"] for crd in OURS.values()} == {
        "kubevirt.io",
        "migrations.kubevirt.io",
        "nmstate.io",
        "k8s.cni.cncf.io",
    }
    vm = OURS["virtualmachines.kubevirt.io"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    template = vm["properties"]["spec"]["properties"]["template"]
    vmi = OURS["virtualmachineinstances.kubevirt.io"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert template["properties"]["spec"] == vmi["properties"]["spec"]


def test_a_version_that_the_cluster_is_too_new_for_is_left_out() -> None:
    def versions(unserved: set[tuple[str, str]]) -> dict[str, list[str]]:
        found = [crd["spec"] for crd in crdfiles.load(FOLDER, unserved) if crd["spec"]["group"] == "nmstate.io"]
        return {spec["names"]["shortNames"][0]: [v["name"] for v in spec["versions"]] for spec in found}

    assert versions(set()) == {
        "nncp": ["v1", "v1beta1", "v1alpha1"],
        "nnce": ["v1beta1", "v1alpha1"],
        "nns": ["v1beta1", "v1alpha1"],
    }
    assert versions({("nmstate.io", "v1alpha1")}) == {
        "nncp": ["v1", "v1beta1"],
        "nnce": ["v1beta1"],
        "nns": ["v1beta1"],
    }


def test_every_release_of_kubevirt_has_the_fields_of_its_time() -> None:
    def has(minor: int, crd: str, path: str) -> bool:
        release = KubevirtRelease(minor)
        found = {c["metadata"]["name"]: c for c in crdfiles.load(FOLDER, absent=release.absent)}[f"{crd}.kubevirt.io"]
        [version] = [v for v in found["spec"]["versions"] if v["name"] == "v1"]
        schema = version["schema"]["openAPIV3Schema"]
        for step in path.split("."):
            schema = schema["properties"].get(step.removesuffix("[]"), {"properties": {}})
            schema = schema["items"] if step.endswith("[]") else schema
        return "type" in schema

    vmi, vmim = "virtualmachineinstances", "virtualmachineinstancemigrations"
    first = {
        (vmi, "status.interfaces[].podInterfaceName"): 4,
        (vmi, "status.interfaces[].linkState"): 5,
        (vmim, "spec.addedNodeSelector"): 6,
        (vmim, "spec.priority"): 7,
        (vmi, "status.migrationState.migrationConfiguration.maxDowntimeMs"): 9,
        (vmi, "status.interfaces[].infoSource"): 3,
    }
    for (crd, path), since in first.items():
        assert [minor for minor in range(3, 10) if has(minor, crd, path)] == list(range(since, 10)), path


def test_a_field_that_is_none_cannot_be_absent() -> None:
    with pytest.raises(ValueError, match=r"virtualmachines.kubevirt.io has no field spec.nothing"):
        crdfiles.load(FOLDER, absent=[("virtualmachines.kubevirt.io", "spec.nothing")])


def no_schemas(crds: Iterable[dict[str, Any]]) -> list[Cause]:
    return [
        cause
        for crd in crds
        if crd.get("kind") == "CustomResourceDefinition"
        for version in crd["spec"]["versions"]
        for cause in crdschema.problems(version["schema"]["openAPIV3Schema"], crd["metadata"]["name"])
    ]


def test_our_own_schemas_are_schemas() -> None:
    assert no_schemas(OURS.values()) == []


def test_upstreams_schemas_are_schemas() -> None:
    assert no_schemas(upstream()) == []


@pytest.mark.parametrize(
    ("schema", "field", "said"),
    [
        ([], "x", 'must be of type object: "array"'),
        ({"properties": []}, "x.properties", 'must be of type object: "array"'),
        ({"properties": {"a": 7}}, "x.properties[a]", 'must be of type object: "integer"'),
        ({"items": {"properties": {"a": {"items": [{}]}}}}, "x.items.properties[a].items", 'object: "array"'),
        ({"additionalProperties": {"type": "text"}}, "x.additionalProperties.type", 'Unsupported value: "text"'),
        ({"additionalProperties": []}, "x.additionalProperties", 'must be of type object: "array"'),
        ({"anyOf": [{"type": []}]}, "x.anyOf[0].type", 'must be of type string: "array"'),
        ({"not": {"maxLength": "1"}}, "x.not.maxLength", 'must be of type integer: "string"'),
        ({"required": [1]}, "x.required[0]", 'must be of type string: "integer"'),
        ({"pattern": "["}, "x.pattern", "must be a valid regular expression"),
        ({"nullable": "yes"}, "x.nullable", 'must be of type boolean: "string"'),
    ],
)
def test_what_is_no_schema_is_named_where_it_is(schema: Any, field: str, said: str) -> None:
    (cause,) = crdschema.problems(schema, "x")
    assert cause.field == field
    assert said in cause.message
