"""OpenAPI documents: /openapi/v3 per group version (explain, apply, validation), and a small /openapi/v2."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from lab.embedded.apiserver import builtin
from lab.embedded.apiserver.resources import Registry, Resource

Obj = dict[str, Any]
_REF = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALARS: dict[str, Obj] = {
    "str": {"type": "string"},
    "int": {"type": "integer", "format": "int32"},
    "bool": {"type": "boolean"},
    "float": {"type": "number", "format": "double"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {"type": "object"},
}
_INT_OR_STRING = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}


def component(model: str) -> str:
    """Component name of a model: V1PodSpec is io.k8s.api.v1.PodSpec."""
    if model == "V1ObjectMeta":
        return _META
    match = re.fullmatch(r"(?:[A-Z][a-z]+)??(V\d(?:alpha\d|beta\d)?)(\w+)", model)
    return f"io.k8s.api.{match[1].lower()}.{match[2]}" if match else f"io.k8s.api.{model}"


class OpenApi:
    """Documents made on first use and kept until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._nonce = secrets.token_hex(8)
        self._documents: dict[str, tuple[int, bytes]] = {}

    def index(self) -> Obj:
        """/openapi/v3"""
        mark = f"{self._nonce}{self._registry.generation:08X}"
        names = ["api/v1"]
        for group in self._registry.groups():
            names += [f"apis/{group}/{version}" for version in self._registry.versions(group)]
        return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={mark}"} for name in names}}

    def document(self, name: str) -> bytes | None:
        """/openapi/v3/<name>, encoded; None when there is no such group version."""
        known = self._documents.get(name)
        if known is not None and known[0] == self._registry.generation:
            return known[1]
        parts = name.split("/")
        group, version = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else (parts[1], parts[-1])
        resources = self._registry.resources(group, version)
        if not resources or len(parts) != (3 if group else 2):
            return None
        encoded = json.dumps(self._build(name, resources), separators=(",", ":")).encode()
        self._documents[name] = (self._registry.generation, encoded)
        return encoded

    def _build(self, root: str, resources: list[Resource]) -> Obj:
        schemas: Obj = {}
        paths: Obj = {}
        _add_model("V1ObjectMeta", schemas)
        _add_model("V1DeleteOptions", schemas)
        for resource in resources:
            ref = self._add_schema(resource, schemas)
            paths.update(_paths(f"/{root}", resource, ref))
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.32"},
            "paths": paths,
            "components": {"schemas": schemas},
        }

    def _add_schema(self, resource: Resource, schemas: Obj) -> str:
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        if resource.builtin:
            _add_model(resource.definition, schemas)
            name = component(resource.definition)
            schemas[name]["x-kubernetes-group-version-kind"] = [gvk]
            return name
        reverse = ".".join(reversed(resource.group.split(".")))
        name = f"{reverse}.{resource.version}.{resource.kind}"
        root = dict(resource.schema())
        properties = {
            "apiVersion": {"type": "string", "description": "APIVersion defines the versioned schema of this object."},
            "kind": {"type": "string", "description": "Kind is the REST resource that this object represents."},
            **root.get("properties", {}),
            "metadata": {"allOf": [{"$ref": _REF + _META}], "description": "Standard object's metadata."},
        }
        root["properties"] = properties
        root["x-kubernetes-group-version-kind"] = [gvk]
        schemas[name] = root
        return name


def _add_model(model: str, schemas: Obj) -> None:
    name = component(model)
    if name in schemas:
        return
    entry = builtin.table()[model]
    node: Obj = {"type": "object", "description": entry["doc"], "properties": {}}
    schemas[name] = node
    if entry["required"]:
        node["required"] = entry["required"]
    for field, (kind, text) in entry["fields"].items():
        node["properties"][field] = _field(model, field, kind, text, schemas)


def _field(model: str, field: str, kind: str, text: str, schemas: Obj) -> Obj:
    if match := re.fullmatch(r"List\[(.*)\]", kind):
        node: Obj = {"type": "array", "items": _field("", "", match[1], "", schemas)}
        keys = builtin.keys_of(model, field)
        if keys:
            node["x-kubernetes-list-type"] = "map"
            node["x-kubernetes-list-map-keys"] = list(keys)
            node["x-kubernetes-patch-strategy"] = "merge"
            node["x-kubernetes-patch-merge-key"] = keys[0]
        else:
            node["x-kubernetes-list-type"] = "atomic"
    elif match := re.fullmatch(r"Dict\[str, (.*)\]", kind):
        node = {"type": "object", "additionalProperties": _field("", "", match[1], "", schemas)}
    elif kind == "object" and field in ("port", "targetPort", "maxUnavailable", "minAvailable", "maxSurge"):
        node = dict(_INT_OR_STRING)
    elif kind in _SCALARS:
        node = dict(_SCALARS[kind])
    else:
        _add_model(kind, schemas)
        node = {"allOf": [{"$ref": _REF + component(kind)}]}
    if text:
        node["description"] = text
    return node


def _parameter(name: str, kind: str = "string", where: str = "query") -> Obj:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, **required, "schema": {"type": kind, "uniqueItems": True}}


_WRITE = [_parameter(name) for name in ("dryRun", "fieldManager", "fieldValidation")]
_FORCE = _parameter("force", "boolean")
_LIST = [
    *(_parameter(name, "boolean") for name in ("allowWatchBookmarks", "sendInitialEvents", "watch")),
    *(
        _parameter(name)
        for name in ("continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch")
    ),
    *(_parameter(name, "integer") for name in ("limit", "timeoutSeconds")),
]
_DELETE = [
    _WRITE[0],
    _parameter("gracePeriodSeconds", "integer"),
    _parameter("orphanDependents", "boolean"),
    _parameter("propagationPolicy"),
]
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


def _paths(root: str, resource: Resource, ref: str) -> Obj:
    """Path items as kube-apiserver's (apiserver pkg/endpoints/installer.go): collection, object, status."""
    prefix = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    collection = f"{prefix}/{resource.plural}"
    shared = [_parameter("namespace", where="path")] if resource.namespaced else []
    body = {"*/*": {"schema": {"$ref": _REF + ref}}}
    patch = {kind: {"schema": {"type": ["array", "object"][kind != _PATCHES[0]]}} for kind in _PATCHES}
    options = {"*/*": {"schema": {"$ref": _REF + component("V1DeleteOptions")}}}

    def operation(action: str, parameters: list[Obj], sent: Obj | None = None, suffix: str = "") -> Obj:
        content = {"application/json": {"schema": {"$ref": _REF + ref}}}
        return {
            "operationId": f"{action}{resource.version.capitalize()}{resource.kind}{suffix}",
            "parameters": parameters,
            **({"requestBody": {"content": sent, "required": action != "delete"}} if sent else {}),
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": resource.group,
                "version": resource.version,
                "kind": resource.kind,
            },
        }

    def one(suffix: str = "") -> Obj:
        return {
            "parameters": [*shared, _parameter("name", where="path")],
            "get": operation("get", [], suffix=suffix),
            "put": operation("put", _WRITE, body, suffix),
            "patch": operation("patch", [*_WRITE, _FORCE], patch, suffix),
        }

    found: Obj = {collection: {"parameters": shared, "post": operation("post", _WRITE, body)}}
    if not resource.create_only:
        found[collection]["get"] = operation("list", _LIST)
        found[f"{collection}/{{name}}"] = {**one(), "delete": operation("delete", _DELETE, options)}
    if resource.has("status"):
        found[f"{collection}/{{name}}/status"] = one("Status")
    return found


def version2() -> Obj:
    """/openapi/v2 in JSON: a document without definitions; clients of this age read v3."""
    info = {"title": "Kubernetes", "version": "v1.32"}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}


def version2_protobuf() -> bytes:
    """The same as gnostic's protobuf message (Document: swagger=1, info=2 with title=1 and version=2)."""

    def text(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    return text(1, b"2.0") + text(2, text(1, b"Kubernetes") + text(2, b"v1.32")) + text(8, b"")
