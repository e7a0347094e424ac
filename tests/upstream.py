"""Upstream's schemas as the judge of what the harness sends: structural validation, unknown fields included.

The CRD manifests are beside the checkout (`shared/crds`, or VIRTLAB_CRDS) and no part of it. Built-in kinds, and the
custom ones that the folder lacks, are judged by what the embedded lab knows of them, which comes from the same sources.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lab.embedded.apiserver import builtin, crdfiles

Obj = dict[str, Any]
PRESERVE, INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
GONE = {"nmstate.io/v1alpha1": "nmstate.io/v1"}
"""Versions of documented manifests that upstream has removed, with the one that has the same fields."""


FOLDER = Path(os.environ.get("VIRTLAB_CRDS") or Path(__file__).parents[2] / "shared" / "crds")


def folder() -> Path:
    """The folder of upstream's CRD manifests; skips without one."""
    if not FOLDER.is_dir():
        pytest.skip(f"needs upstream's CRD manifests (VIRTLAB_CRDS), found no folder {FOLDER}")
    return FOLDER


@functools.cache
def definitions() -> dict[tuple[str, str], tuple[str, Obj]]:
    """(apiVersion, kind) -> where its schema comes from, and the schema."""
    own = crdfiles.load(Path(crdfiles.__file__).parent / "crds")
    found = dict(_versions("the lab's own CRD", own))
    for path in sorted(folder().glob("*.yaml")):
        documents = yaml.load_all(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found.update(_versions(path.name, documents))
    return found


def _versions(source: str, crds: Any) -> Iterator[tuple[tuple[str, str], tuple[str, Obj]]]:
    for crd in crds:
        spec = crd["spec"]
        for version in spec["versions"]:
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            yield key, (source, version["schema"]["openAPIV3Schema"])


def schema_of(obj: Mapping[str, Any]) -> tuple[str, Obj]:
    """(source, schema) for an object. Raises LookupError when nobody has one."""
    api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
    api_version = GONE.get(api_version, api_version)
    if (api_version, kind) in definitions():
        return definitions()[api_version, kind]
    model = {"DeleteOptions": "V1DeleteOptions"}.get(kind, f"V1{kind}")
    if model in builtin.table():
        return "Kubernetes' own types", builtin.model_schema(model)
    raise LookupError(f"no schema for {kind} of {api_version}")


def problems(obj: Mapping[str, Any], *, patch: bool = False) -> list[str]:
    """What a server that checks strictly would say against an object; a merge *patch* may leave out and take away."""
    api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
    schema_of(obj)
    errors = _validator(api_version, kind, patch).iter_errors(dict(obj))
    return sorted(
        f"{kind} {'.'.join(map(str, error.absolute_path)) or '(whole)'}: {error.message[:300]}" for error in errors
    )


@functools.cache
def _validator(api_version: str, kind: str, patch: bool) -> jsonschema.protocols.Validator:
    _, schema = schema_of({"apiVersion": api_version, "kind": kind})
    root = {**schema, "properties": {**schema.get("properties", {}), **_own_fields()}}
    return jsonschema.Draft202012Validator(_json_schema(root, patch))


def _own_fields() -> Obj:
    text = {"type": "string"}
    return {"apiVersion": text, "kind": text, "metadata": builtin.model_schema("V1ObjectMeta")}


def _json_schema(node: Mapping[str, Any], patch: bool) -> Obj:
    """A structural schema as JSON Schema: what it does not name is not allowed, null only where it says so."""
    keys = ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "type")
    made: Obj = {key: node[key] for key in keys if key in node}
    if node.get(INT_OR_STRING):
        made["type"] = ["integer", "string"]
    if "properties" in node:
        made["properties"] = {name: _json_schema(value, patch) for name, value in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _json_schema(node["additionalProperties"], patch)
    elif node.get("type") == "object" and not node.get(PRESERVE):
        made["additionalProperties"] = False
    if isinstance(node.get("items"), Mapping):
        made["items"] = _json_schema(node["items"], patch)
    if node.get("required") and not patch:
        made["required"] = list(node["required"])
    if (node.get("nullable") or patch) and "type" in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    return made
