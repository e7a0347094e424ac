"""JSON patch, merge patch and strategic merge patch on plain JSON data. Arguments are never changed.

Strategic merge (Go: apimachinery `pkg/util/strategicpatch`) reads merge keys from the schema; it is for built-in kinds.
"""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from lab.embedded.apiserver.errors import StatusError, bad_request
from lab.embedded.apiserver.fields import METADATA_SCHEMA
from lab.embedded.apiserver.schema import Schema, child_schema, clone

MAX_COPIED = 3 * 1024 * 1024
"""Bytes that all `copy` operations of one patch may add (apiserver pkg/server/config.go, JSONPatchMaxCopyBytes)."""
REJECTED = "the server rejected our request due to an error in our request"


def json_patch(obj: Any, operations: Any) -> Any:
    """RFC 6902. 400 for what is no patch, 422 for one that cannot be applied (a failed `test`, a missing path)."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > 10000:
        raise StatusError(413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is 10000")
    try:
        jsonpatch.JsonPatch(operations)
        changed, copied = clone(obj), 0
        for operation in operations:
            if operation["op"] == "copy" and isinstance(operation.get("from"), str):
                copied += len(json.dumps(JsonPointer(operation["from"]).resolve(changed)))
                if copied > MAX_COPIED:
                    raise _copies_too_much(copied)
            changed = jsonpatch.JsonPatch([operation]).apply(changed, in_place=True)
        return changed
    except (jsonpatch.InvalidJsonPatch, TypeError) as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, JsonPointerException) as error:
        raise StatusError(422, "Invalid", REJECTED, {"causes": [{"message": str(error)}]}) from error


def _copies_too_much(size: int) -> StatusError:
    # Thirty copies of the whole into itself would be a billion times the whole.
    text = f"the accumulated size increase of copy is {size}, exceeding the limit {MAX_COPIED}"
    return StatusError(413, "RequestEntityTooLarge", f"Unable to complete the copy, {text}")


def merge_patch(obj: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(obj: dict[str, Any], patch: Any, schema: Schema) -> dict[str, Any]:
    """Strategic merge of a whole object."""
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    full = {**schema, "properties": {**schema.get("properties", {}), "metadata": _METADATA}}
    return _merge_map(obj, patch, full)


_METADATA: Schema = {
    "properties": {
        **METADATA_SCHEMA["properties"],
        "finalizers": {"x-kubernetes-patch-strategy": "merge", "items": {"type": "string"}},
        "ownerReferences": {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid"},
    }
}


def _merge_map(obj: dict[str, Any], patch: dict[str, Any], schema: Schema) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(obj)
    retain = patch.get("$retainKeys")
    if isinstance(retain, list):
        result = {key: value for key, value in result.items() if key in retain}
    for key, value in patch.items():
        if key.startswith(("$patch", "$retainKeys", "$setElementOrder/")):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
            continue
        if value is None:
            result.pop(key, None)
            continue
        result[key] = _merge_value(result.get(key), value, child_schema(schema, key) or {})
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            name = key.partition("/")[2]
            sub = child_schema(schema, name) or {}
            if isinstance(result.get(name), list):
                result[name] = _ordered(result[name], order, sub.get("x-kubernetes-patch-merge-key", ""))
    return result


def _merge_value(old: Any, value: Any, schema: Schema) -> Any:
    if isinstance(value, dict):
        return _merge_map(old if isinstance(old, dict) else {}, value, schema)
    if isinstance(value, list) and "merge" in str(schema.get("x-kubernetes-patch-strategy", "")):
        return _merge_list(old if isinstance(old, list) else [], value, schema)
    return clone(value)


def _merge_list(old: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    key = schema.get("x-kubernetes-patch-merge-key", "")
    if not key:
        return [*old, *(clone(item) for item in patch if item not in old)]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [clone(item) for item in patch if item.get("$patch") != "replace"]
    result = list(old)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, known in enumerate(result) if known.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(_merge_map({}, item, schema.get("items", {})))
        else:
            result[place] = _merge_map(result[place], item, schema.get("items", {}))
    return result


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    # Items that the order does not name keep their place relative to their predecessor.
    def mark(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    ranks = {str(mark(item)): rank for rank, item in enumerate(order)}
    ranked, rank = [], -1.0
    for item in items:
        rank = float(ranks[str(mark(item))]) if str(mark(item)) in ranks else rank + 1e-6
        ranked.append((rank, item))
    return [item for _rank, item in sorted(ranked, key=lambda pair: pair[0])]
