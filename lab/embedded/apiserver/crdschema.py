"""What the schema of a CRD must itself be, at any depth: whoever reads it relies on it.

Go's decoder refuses most of this as JSON of the wrong type, its validation the rest (apiextensions-apiserver
`pkg/apis/apiextensions/validation`); here both are causes at their place. What it says of values is `schema`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.embedded.apiserver.errors import Cause
from lab.embedded.apiserver.schema import INT_OR_STRING, go_value, type_name

TYPES = ("array", "boolean", "integer", "number", "object", "string")
OF_TYPE = {
    **dict.fromkeys(("type", "format", "pattern", "title", "description", "x-kubernetes-list-type",
                     "x-kubernetes-map-type"), "string"),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), "integer"),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), "number"),
    **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMaximum", "exclusiveMinimum", INT_OR_STRING,
                     "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"), "boolean"),
    **dict.fromkeys(("enum", "required", "x-kubernetes-list-map-keys", "allOf", "anyOf", "oneOf",
                     "x-kubernetes-validations"), "array"),
    **dict.fromkeys(("properties", "items", "not"), "object"),
}  # fmt: skip
OF_NAMES = ("required", "x-kubernetes-list-map-keys")


def problems(schema: Any, field: str) -> Iterator[Cause]:
    """Every part at *field* and below it that is no schema."""
    if not isinstance(schema, dict):
        yield _wrong_type(field, schema, "object")
        return
    for key, value in schema.items():
        wanted = OF_TYPE.get(key)
        # Go writes an integer where its type is a number.
        if wanted and value is not None and type_name(value) not in (wanted, {"number": "integer"}.get(wanted)):
            yield _wrong_type(f"{field}.{key}", value, wanted)
        elif value is not None:
            yield from _within(key, value, f"{field}.{key}")


def _within(key: str, value: Any, field: str) -> Iterator[Cause]:
    if key == "type" and value and value not in TYPES:
        supported = ", ".join(f'"{name}"' for name in TYPES)
        text = f"Unsupported value: {go_value(value)}: supported values: {supported}"
        yield Cause("FieldValueNotSupported", text, field)
    elif key == "pattern":
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            yield Cause("FieldValueInvalid", f"Invalid value: {go_value(value)}: must be a valid regular expression, "
                        f"but isn't: {error}", field)  # fmt: skip
    elif key in OF_NAMES:
        for place, name in enumerate(value):
            if not isinstance(name, str):
                yield _wrong_type(f"{field}[{place}]", name, "string")
    elif key == "properties":
        for name, below in value.items():
            yield from problems(below, f"{field}[{name}]")
    elif key in ("allOf", "anyOf", "oneOf"):
        for place, below in enumerate(value):
            yield from problems(below, f"{field}[{place}]")
    elif key in ("items", "not") or (key == "additionalProperties" and not isinstance(value, bool)):
        yield from problems(value, field)


def _wrong_type(field: str, value: Any, wanted: str) -> Cause:
    found = type_name(value)
    return Cause("FieldValueTypeInvalid", f'Invalid value: "{found}": must be of type {wanted}: "{found}"', field)
