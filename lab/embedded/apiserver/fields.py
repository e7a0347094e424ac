"""Field ownership: which paths an object sets, who manages them, server-side apply.

The rules are those of sigs.k8s.io/structured-merge-diff: lists are atomic unless the schema says `map` or `set`,
maps are granular unless it says `atomic`. A path is a tuple of `f:name`, `k:{"key":"value"}` and `v:value` parts.
"""

from __future__ import annotations

import json
from typing import Any

from lab.embedded.apiserver.schema import Schema, child_schema, clone

Path = tuple[str, ...]
Fields = dict[Path, Any]  # leaf value, or PRESENT for list items and map keys that only exist
PRESENT = object()
NOT_OWNED = frozenset(
    (
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "selfLink",
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    )
)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def list_type(schema: Schema) -> str:
    """`atomic`, `map` or `set`."""
    return str(schema.get("x-kubernetes-list-type", "atomic"))


def item_part(item: Any, schema: Schema) -> str:
    """The path part that names an item of a `map` or `set` list; defaults of key fields count."""
    if list_type(schema) == "set" or not isinstance(item, dict):
        return "v:" + _compact(item)
    known = schema.get("items", {}).get("properties", {})
    keys = {}
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        if key in item:
            keys[key] = item[key]
        elif "default" in known.get(key, {}):
            keys[key] = known[key]["default"]
    return "k:" + _compact(keys)


def fields_of(obj: dict[str, Any], schema: Schema) -> Fields:
    """All owned paths of a whole object with their values, identity and server-set metadata left out."""
    found: Fields = {}
    for key, value in obj.items():
        if key in ("apiVersion", "kind"):
            continue
        if key == "metadata":
            meta = {name: item for name, item in value.items() if name not in NOT_OWNED}
            _walk(meta, METADATA_SCHEMA, ("f:metadata",), found)
        else:
            _walk(value, child_schema(schema, key) or {}, (f"f:{key}",), found)
    return found


def _walk(value: Any, schema: Schema, path: Path, found: Fields) -> None:
    if isinstance(value, dict) and value and schema.get("x-kubernetes-map-type") != "atomic":
        known = schema.get("properties", {})
        for key, item in value.items():
            here = (*path, f"f:{key}")
            if key not in known and isinstance(item, dict) and item:
                found[here] = PRESENT
            _walk(item, child_schema(schema, key) or {}, here, found)
    elif isinstance(value, list) and value and list_type(schema) != "atomic":
        for item in value:
            here = (*path, item_part(item, schema))
            found[here] = PRESENT
            if isinstance(item, dict):
                _walk(item, schema.get("items", {}), here, found)
    elif path != ("f:metadata",):
        found[path] = value


METADATA_SCHEMA: Schema = {
    "properties": {
        "labels": {"additionalProperties": {"type": "string"}},
        "annotations": {"additionalProperties": {"type": "string"}},
        "finalizers": {"x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ownerReferences": {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
        },
        "generateName": {"type": "string"},
    }
}


def encode(paths: set[Path]) -> dict[str, Any]:
    """Paths as the nested FieldsV1 document."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node["."] = {}
    _thin(root)
    return root


def _thin(node: dict[str, Any]) -> None:
    # A leaf is written `{}`; "." marks only an owned path that has owned paths below it.
    for key, child in node.items():
        if key == ".":
            continue
        if set(child) == {"."}:
            child.clear()
        else:
            _thin(child)


def decode(document: dict[str, Any], prefix: Path = ()) -> set[Path]:
    """The inverse of `encode`."""
    found: set[Path] = set()
    for key, child in document.items():
        if key == ".":
            found.add(prefix)
        elif not child:
            found.add((*prefix, key))
        else:
            found |= decode(child, (*prefix, key))
    return found


def pretty(path: Path) -> str:
    """`.spec.containers[name="x"].image`."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            pairs = [f"{key}={_compact(value)}" for key, value in json.loads(rest).items()]
            text += f"[{','.join(pairs)}]"
        else:
            text += f"[={rest}]"
    return text


def merge(live: Any, applied: Any, schema: Schema) -> Any:
    """`live` with everything that `applied` says; a new value, neither argument is changed."""
    if isinstance(live, dict) and isinstance(applied, dict) and schema.get("x-kubernetes-map-type") != "atomic":
        result = dict(live)
        for key, value in applied.items():
            result[key] = merge(live[key], value, child_schema(schema, key) or {}) if key in live else clone(value)
        return result
    if isinstance(live, list) and isinstance(applied, list) and list_type(schema) != "atomic":
        wanted = {item_part(item, schema): item for item in applied}
        result_list = []
        for item in live:
            part = item_part(item, schema)
            if part in wanted:
                item = merge(item, wanted.pop(part), schema.get("items", {}))
            result_list.append(item)
        return result_list + [clone(item) for item in wanted.values()]
    return clone(applied)


def merge_object(live: dict[str, Any], applied: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """`merge` of whole objects: metadata has its own schema whatever the resource's says."""
    full = {**schema, "properties": {**schema.get("properties", {}), "metadata": METADATA_SCHEMA}}
    result: dict[str, Any] = merge(live, applied, full)
    return result


def remove(obj: dict[str, Any], paths: set[Path], schema: Schema) -> None:
    """Remove paths from an object in place, deepest first; parents that become empty go too."""
    full = {**schema, "properties": {**schema.get("properties", {}), "metadata": METADATA_SCHEMA}}
    for path in sorted(paths, key=len, reverse=True):
        _remove_one(obj, path, full)


def _remove_one(value: Any, path: Path, schema: Schema) -> None:
    kind, _, name = path[0].partition(":")
    if kind == "f":
        if not isinstance(value, dict) or name not in value:
            return
        if len(path) == 1:
            del value[name]
            return
        _remove_one(value[name], path[1:], child_schema(schema, name) or {})
        if value[name] in ({}, []):
            del value[name]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if item_part(item, schema) == path[0]:
                if len(path) == 1:
                    del value[index]
                else:
                    _remove_one(item, path[1:], schema.get("items", {}))
                return
