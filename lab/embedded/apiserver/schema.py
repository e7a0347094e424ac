"""Structural schemas at work: defaulting, pruning, unknown fields, validation with upstream's texts.

Schemas are plain OpenAPI v3 dictionaries (Go: apiextensions-apiserver `pkg/apiserver/schema`). Objects are changed in
place only by `apply_defaults` and `prune`; nothing here knows of the store or of HTTP. CEL rules are not evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from lab.embedded.apiserver.errors import Cause

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
EMBEDDED = "x-kubernetes-embedded-resource"
_TYPE_CHECKS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_PATTERNS: dict[str, re.Pattern[str]] = {}


def child_schema(schema: Schema, key: str) -> Schema | None:
    """Schema of a map's value or a struct's field; None when the schema says nothing about the key."""
    found = schema.get("properties", {}).get(key)
    if found is not None:
        return found  # type: ignore[no-any-return]
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, dict) else ({} if extra is True else None)


def children(value: Any, schema: Schema) -> Iterator[tuple[Any, Any, Schema]]:
    """(key or index, value, schema) of the parts that the schema describes."""
    if isinstance(value, dict):
        for key, item in value.items():
            found = child_schema(schema, key)
            if found is not None:
                yield key, item, found
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield index, item, schema["items"]


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill absent fields that have a default, also inside defaults; null of a non-nullable field counts as absent."""
    if isinstance(value, dict):
        for key, field in schema.get("properties", {}).items():
            if "default" not in field:
                continue
            if key not in value or (value[key] is None and not field.get("nullable")):
                value[key] = clone(field["default"])
    for _key, item, sub in children(value, schema):
        if isinstance(item, dict | list):
            apply_defaults(item, sub)


def prune(value: Any, schema: Schema, path: str = "", *, root: bool = False) -> list[str]:
    """Remove what the schema does not know; returns the dotted paths of what was removed, in order."""
    dropped: list[str] = []
    if isinstance(value, dict):
        keep = _always_kept(schema, root)
        for key in list(value):
            here = f"{path}.{key}" if path else key
            found = child_schema(schema, key)
            if key in keep:
                continue
            if found is None:
                if not _is_open(schema):
                    del value[key]
                    dropped.append(here)
            elif isinstance(value[key], dict | list):
                dropped += prune(value[key], found, here)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                dropped += prune(item, schema["items"], f"{path}[{index}]")
    return dropped


def _is_open(schema: Schema) -> bool:
    return bool(schema.get(PRESERVE)) or schema == {}


def _always_kept(schema: Schema, root: bool) -> tuple[str, ...]:
    return ("apiVersion", "kind", "metadata") if root or schema.get(EMBEDDED) else ()


def clone(value: Any) -> Any:
    """Deep copy of JSON data; several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def go_value(value: Any) -> str:
    """A bad value as Go's field errors print it: strings quoted, scalars bare, others compact JSON-like."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    import json

    return json.dumps(value, separators=(",", ":"))


def type_name(value: Any) -> str:
    """JSON type as go-openapi names it."""
    for name in ("object", "array", "string", "boolean", "integer", "number"):
        if _TYPE_CHECKS[name](value):
            return name
    return "null"


def validate(value: Any, schema: Schema, path: str = "") -> list[Cause]:
    """Every violation of the schema, depth first, with the texts of kube-openapi's validator."""
    if value is None:
        return [] if schema.get("nullable") or not schema.get("type") else [_type_error(path, "null", schema["type"])]
    if schema.get(INT_OR_STRING):
        good = isinstance(value, str | int) and not isinstance(value, bool)
        return [] if good else [_type_error(path, type_name(value), "integer,string")]
    wanted = schema.get("type")
    if wanted and not _TYPE_CHECKS[wanted](value):
        return [_type_error(path, type_name(value), wanted)]
    causes = _check_enum(value, schema, path)
    if isinstance(value, dict):
        causes += _check_object(value, schema, path)
    elif isinstance(value, list):
        causes += _check_array(value, schema, path)
    elif isinstance(value, str):
        causes += _check_string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        causes += _check_number(value, schema, path)
    return causes + _check_logic(value, schema, path)


def _type_error(path: str, found: str, wanted: str) -> Cause:
    text = f'Invalid value: "{found}": {path or "<nil>"} in body must be of type {wanted}: "{found}"'
    return Cause("FieldValueTypeInvalid", text, path or "<nil>")


def _invalid(path: str, value: Any, rule: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {go_value(value)}: {path} in body {rule}", path)


def _check_enum(value: Any, schema: Schema, path: str) -> list[Cause]:
    allowed = schema.get("enum")
    if allowed is None or value in allowed:
        return []
    names = ", ".join(go_value(item) for item in allowed)
    return [Cause("FieldValueNotSupported", f"Unsupported value: {go_value(value)}: supported values: {names}", path)]


def _check_object(value: dict[str, Any], schema: Schema, path: str) -> list[Cause]:
    causes = [
        Cause("FieldValueRequired", "Required value", f"{path}.{key}" if path else key)
        for key in schema.get("required", ())
        if key not in value
    ]
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        text = f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
        causes.append(Cause("FieldValueTooMany", text, path))
    if len(value) < schema.get("minProperties", 0):
        causes.append(_invalid(path, value, f"should have at least {schema['minProperties']} properties"))
    for key, item, sub in children(value, schema):
        causes += validate(item, sub, f"{path}.{key}" if path else key)
    return causes


def _check_array(value: list[Any], schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        text = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        causes.append(Cause("FieldValueTooMany", text, path))
    if len(value) < schema.get("minItems", 0):
        causes.append(_invalid(path, len(value), f"should have at least {schema['minItems']} items"))
    for index, item, sub in children(value, schema):
        causes += validate(item, sub, f"{path}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys")
    seen: set[str] = set()
    for index, item in enumerate(value):
        if keys and isinstance(item, dict):
            mark = {key: item[key] for key in keys if key in item}
        elif schema.get("x-kubernetes-list-type") == "set":
            mark = item
        else:
            continue
        if go_value(mark) in seen:
            causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {go_value(mark)}", f"{path}[{index}]"))
        seen.add(go_value(mark))
    return causes


def _check_string(value: str, schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        text = f"Too long: may not be more than {schema['maxLength']} bytes"
        causes.append(Cause("FieldValueTooLong", text, path))
    if len(value) < schema.get("minLength", 0):
        causes.append(_invalid(path, value, f"should be at least {schema['minLength']} chars long"))
    pattern = schema.get("pattern")
    if pattern is not None and not _compiled(pattern).search(value):
        causes.append(_invalid(path, value, f"should match '{pattern}'"))
    if schema.get("format") == "date-time" and not _DATE_TIME.match(value):
        causes.append(_invalid(path, value, f"must be of type date-time: {go_value(value)}"))
    return causes


_DATE_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern not in _PATTERNS:
        _PATTERNS[pattern] = re.compile(pattern)
    return _PATTERNS[pattern]


def _check_number(value: float, schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(_invalid(path, value, f"should be {word} {low}"))
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        causes.append(_invalid(path, value, f"should be {word} {high}"))
    if schema.get("format") == "int32" and not -(2**31) <= value < 2**31:
        causes.append(_invalid(path, value, f"must be of type int32: {value}"))
    return causes


def _check_logic(value: Any, schema: Schema, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for part in schema.get("allOf", ()):
        causes += validate(value, part, path)
    if "anyOf" in schema and all(validate(value, part, path) for part in schema["anyOf"]):
        causes.append(_invalid(path, value, "must validate at least one schema (anyOf)"))
    if "oneOf" in schema:
        matches = sum(not validate(value, part, path) for part in schema["oneOf"])
        if matches != 1:
            found = "Found none valid" if matches == 0 else f"Found {matches} valid alternatives"
            causes.append(_invalid(path, value, f"must validate one and only one schema (oneOf). {found}"))
    if "not" in schema and not validate(value, schema["not"], path):
        causes.append(_invalid(path, value, "must not validate the schema (not)"))
    return causes
