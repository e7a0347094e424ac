"""From a decoded body to an object that may be stored: unknown fields, nulls, defaults, validation.

The same steps run for every write; what differs between built-in kinds and custom resources is told here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.embedded.apiserver import objects
from lab.embedded.apiserver.builtin import QUANTITY, model_schema
from lab.embedded.apiserver.errors import Cause, StatusError, bad_request, invalid
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.schema import Schema, apply_defaults, child_schema, go_value, prune, validate

Obj = dict[str, Any]


def shape(call: Call, obj: Obj, *, patched: bool = False, defaults: bool = True) -> None:
    """Drop nulls and unknown fields, fill in the schema's defaults. Raises for unknown fields in Strict mode.

    `patched` says that the object came out of a patch: the refusal is worded differently then.
    """
    resource = call.resource
    schema = resource.schema()
    if resource.builtin:
        _drop_nulls(obj)
        body = {key: value for key, value in obj.items() if key != "metadata"}
        _refuse_wrong_types(resource, validate(body, schema))
        _quantities(obj, schema)
    unknown = objects.clean_metadata(obj)
    _refuse_wrong_types(resource, validate(obj["metadata"], model_schema("V1ObjectMeta"), "metadata"))
    unknown += prune(obj, schema, root=True)
    if unknown:
        _report(call, obj, unknown, patched)
    if defaults and not resource.builtin:
        apply_defaults(obj, schema)


def well_typed(kind: str, model: str, body: Any) -> Obj:
    """A body that is never stored (a binding, options of a delete), without nulls. Raises 400 for wrong types."""
    if not isinstance(body, dict):
        raise bad_request(
            f"{kind} cannot be handled: json: cannot unmarshal into Go value of type map[string]interface {{}}"
        )
    _drop_nulls(body)
    for cause in validate(body, model_schema(model)):
        if cause.reason == "FieldValueTypeInvalid":
            raise bad_request(f"{kind} cannot be handled: {_go_error(kind, cause)}")
    return body


def _report(call: Call, obj: Obj, unknown: list[str], patched: bool) -> None:
    texts = [f'unknown field "{path}"' for path in unknown]
    if call.validation == "Warn":
        for text in texts:
            call.warn(text)
    elif call.validation == "Strict":
        error = f"strict decoding error: {', '.join(texts)}"
        if patched:
            cause = objects.invalid_value("patch", go_value(obj), error)
            raise invalid("", "", "", [cause])
        raise _cannot_handle(call.resource, error)


def _cannot_handle(resource: Resource, error: str) -> StatusError:
    where = f"{resource.kind} in version {go_value(resource.version)}"
    return bad_request(f"{where} cannot be handled as a {resource.kind}: {error}")


def _drop_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        for item in value.values():
            _drop_nulls(item)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item)


_GO_TYPES = {"integer": "int32", "boolean": "bool", "string": "string", "number": "float64"}


def _refuse_wrong_types(resource: Resource, causes: list[Cause]) -> None:
    # A Go server cannot decode such a body at all: 400, not 422.
    for cause in causes:
        if cause.reason == "FieldValueTypeInvalid":
            raise _cannot_handle(resource, _go_error(resource.kind, cause))


def _go_error(kind: str, cause: Cause) -> str:
    found = cause.message.split('"')[1].replace("integer", "number").replace("boolean", "bool")
    wanted = cause.message.split(" must be of type ")[1].partition(":")[0]
    go_type = _GO_TYPES.get(wanted, "map" if wanted == "object" else wanted)
    return f"json: cannot unmarshal {found} into Go struct field {kind}.{cause.field} of type {go_type}"


def _quantities(value: Any, schema: Schema) -> None:
    """Quantities may be written as numbers and are kept as strings."""
    if isinstance(value, dict):
        for key, item in value.items():
            sub = child_schema(schema, key)
            if sub is None:
                continue
            if sub.get(QUANTITY):
                value[key] = str(item)
            else:
                _quantities(item, sub)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            _quantities(item, schema["items"])


def check(resource: Resource, obj: Obj, extra: Callable[[], list[Cause]]) -> None:
    """Raise 422 with every violation of metadata and schema, or of the kind's own rules when those hold."""
    causes = objects.check_metadata(resource, obj)
    body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    schema = resource.schema()
    if "required" in schema:
        skip = ("apiVersion", "kind", "metadata")
        schema = {**schema, "required": [key for key in schema["required"] if key not in skip]}
    causes += validate(body, schema)
    causes = causes or extra()
    if causes:
        raise invalid(resource.group, resource.kind, obj["metadata"].get("name", ""), causes)
