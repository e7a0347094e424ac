"""The lab's own CRDs: short field notation in `crds/*.yaml` spelt out to CustomResourceDefinition objects.

A field is `name`, with `*` for required, `[]` for a list of (`[256]`: at most so many; `[key]`: a list map; `[set]`),
`{}` for a map of. Its value is a type code, or a map of fields. Codes: s string, b boolean, i integer, i32, i64,
u32 (0..4294967295), n number, t time, q quantity or int-or-string, o object without fields, any: anything; `?` after a
code or `?: true` in a map makes it nullable; `s=x` has a default; `s:a|b` is an enum. A plain CRD manifest passes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from lab.embedded.apiserver.schema import INT_OR_STRING, PRESERVE, Schema

Obj = dict[str, Any]
_NAME = re.compile(r"^(?P<name>[^\[\]{}*]+)(?P<shapes>(?:\[[^\]]*\]|\{\})*)(?P<required>\*?)$")
_SHAPE = re.compile(r"\[([^\]]*)\]|(\{\})")
_CODES: dict[str, Schema] = {
    "s": {"type": "string"},
    "b": {"type": "boolean"},
    "i": {"type": "integer"},
    "i32": {"type": "integer", "format": "int32"},
    "i64": {"type": "integer", "format": "int64"},
    "u32": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4294967295},
    "n": {"type": "number"},
    "t": {"type": "string", "format": "date-time"},
    "q": {"anyOf": [{"type": "integer"}, {"type": "string"}], INT_OR_STRING: True},
    "o": {"type": "object"},
    "any": {"type": "object", PRESERVE: True},
}


def field_schema(value: Any) -> Schema:
    """Schema of a type code or a map of fields. ValueError for what is neither."""
    if isinstance(value, dict):
        return struct_schema(value)
    code, _, enum = str(value).partition(":")
    code, _, default = code.partition("=")
    nullable = code.endswith("?")
    if code.rstrip("?") not in _CODES:
        raise ValueError(f"{value!r} is no field type; wanted one of {', '.join(_CODES)}")
    node = dict(_CODES[code.rstrip("?")])
    if nullable:
        node["nullable"] = True
    if enum:
        node["enum"] = enum.split("|")
    if default:
        node["default"] = default
    return node


def struct_schema(fields: Obj) -> Schema:
    """Schema of an object from its fields."""
    node: Schema = {"type": "object", "properties": {}}
    required = []
    for key, value in fields.items():
        if key == "?":
            node["nullable"] = True
            continue
        if key == "...":
            node[PRESERVE] = True
            continue
        match = _NAME.match(key)
        if match is None:
            raise ValueError(f"{key!r} is no field: wanted name, name*, name[], name{{}}")
        node["properties"][match["name"]] = _shaped(field_schema(value), match["shapes"])
        if match["required"]:
            required.append(match["name"])
    if required:
        node["required"] = required
    return node


def _shaped(node: Schema, shapes: str) -> Schema:
    for words, is_map in reversed(_SHAPE.findall(shapes)):
        if is_map:
            node = {"type": "object", "additionalProperties": node}
            continue
        node = {"type": "array", "items": node}
        if words.isdigit():
            node["maxItems"] = int(words)
        elif words == "set":
            node["x-kubernetes-list-type"] = "set"
        elif words:
            node["x-kubernetes-list-type"] = "map"
            node["x-kubernetes-list-map-keys"] = words.split(",")
    return node


def _columns(columns: Obj) -> list[Obj]:
    """`Name: path`, `Name: date path`, `Name: string/1 path` (priority)."""
    found = []
    for name, text in columns.items():
        kind, _, path = text.rpartition(" ") if text.startswith(("date ", "string/1 ")) else ("", "", text)
        column: Obj = {"name": name, "type": kind.partition("/")[0] or "string", "jsonPath": path}
        if "/" in kind:
            column["priority"] = int(kind.partition("/")[2])
        found.append(column)
    return found


def _expand(short: Obj) -> Obj:
    plural, group = short["plural"], short["group"]
    versions = []
    for name, options in short["versions"].items():
        fields = options.get("fields", short.get("fields"))
        schema = struct_schema({"apiVersion": "s", "kind": "s", "metadata": "o", **fields})
        schema["description"] = short.get("description", "")
        version: Obj = {
            "name": name,
            "served": True,
            "storage": bool(options.get("storage")),
            "schema": {"openAPIV3Schema": schema},
        }
        if short.get("columns"):
            version["additionalPrinterColumns"] = _columns(short["columns"])
        if short.get("status", True):
            version["subresources"] = {"status": {}}
        if "deprecated" in options:
            version["deprecated"] = True
            if options["deprecated"]:
                version["deprecationWarning"] = options["deprecated"]
        versions.append(version)
    names = {"kind": short["kind"], "plural": plural, "shortNames": short.get("short", [])}
    names["singular"] = short.get("singular", short["kind"].lower())
    if short.get("categories"):
        names["categories"] = short["categories"]
    spec = {"group": group, "scope": short.get("scope", "Namespaced"), "names": names, "versions": versions}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


def load(
    folder: Path, unserved: Collection[tuple[str, str]] = (), absent: Collection[tuple[str, str]] = ()
) -> list[Obj]:
    """CRDs of all YAML files of a folder, without the versions (group, version) of ``unserved`` and without the fields
    of ``absent``: (CRD, ``spec.a[].b``).

    ValueError names the file with a mistake in it, or the field that is none.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[Obj] = []
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_bytes(), Loader=loader):
            if not document:
                continue
            try:
                shorts = document.get("crds", ())
                found += [_expand(short) for short in shorts] if "crds" in document else [document]
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}: {error}") from error
    for crd in found:
        spec = crd["spec"]
        spec["versions"] = [v for v in spec["versions"] if (spec["group"], v["name"]) not in unserved]
    for name, field in absent:
        for version in next(crd for crd in found if crd["metadata"]["name"] == name)["spec"]["versions"]:
            _remove(version["schema"]["openAPIV3Schema"], field, name)
    return found


def _remove(schema: Schema, path: str, name: str) -> None:
    *way, last = path.split(".")
    for step in way:
        schema = schema.get("properties", {}).get(step.removesuffix("[]"), {})
        schema = schema.get("items", {}) if step.endswith("[]") else schema
    if schema.get("properties", {}).pop(last, None) is None:
        raise ValueError(f"{name} has no field {path}")
