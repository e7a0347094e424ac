"""CustomResourceDefinitions: their own rules, and the resources that they make the server serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.embedded.apiserver import crdschema, jsonpath
from lab.embedded.apiserver.errors import Cause
from lab.embedded.apiserver.objects import invalid_value
from lab.embedded.apiserver.resources import Column, Resource, Subresource
from lab.embedded.apiserver.schema import PRESERVE, Schema
from lab.embedded.apiserver.store import now
from lab.embedded.apiserver.strategies import Strategy
from lab.embedded.apiserver.tables import since

Obj = dict[str, Any]
COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
COLLECTION = ("apiextensions.k8s.io", "customresourcedefinitions")


class CrdStrategy(Strategy):
    """CRDs are established at once: names are accepted unless the object itself is wrong."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        spec = obj.setdefault("spec", {})
        names = spec.get("names")
        if isinstance(names, dict):
            names.setdefault("singular", str(names.get("kind", "")).lower())
            names.setdefault("listKind", f"{names.get('kind', '')}List")
        spec.setdefault("conversion", {"strategy": "None"})
        if old is not None and "status" in old:
            self._status(obj, old["status"].get("storedVersions", []))

    def created(self, obj: Obj) -> None:
        self._status(obj, [])

    def _status(self, obj: Obj, stored: list[str]) -> None:
        spec = obj.get("spec", {})
        storage = [version.get("name") for version in spec.get("versions") or () if version.get("storage")]
        words = (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
        known = {c["type"]: c["lastTransitionTime"] for c in obj.get("status", {}).get("conditions") or ()}
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": text,
                "lastTransitionTime": known.get(kind) or now(),
            }
            for kind, reason, text in words
        ]
        obj["status"] = {
            "acceptedNames": spec.get("names", {}),
            "conditions": conditions,
            "storedVersions": list(dict.fromkeys([*stored, *storage])),
        }

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        spec = obj["spec"]
        wanted = f"{spec['names'].get('plural')}.{spec.get('group')}"
        causes = []
        if obj["metadata"]["name"] != wanted:
            why = 'must be spec.names.plural+"."+spec.group'
            causes.append(invalid_value("metadata.name", obj["metadata"]["name"], why))
        if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
            why = "must have exactly one version marked as storage version"
            causes.append(Cause("FieldValueInvalid", f"Invalid value: {why}", "spec.versions"))
        for index, version in enumerate(spec["versions"]):
            schema, field = (version.get("schema") or {}).get("openAPIV3Schema"), f"spec.versions[{index}].schema"
            if not schema:
                text = "Required value: schemas are required"
                causes.append(Cause("FieldValueRequired", text, f"{field}.openAPIV3Schema"))
            else:
                causes += crdschema.problems(schema, f"{field}.openAPIV3Schema")
            causes += _check_columns(version, index)
        if spec.get("scope") not in ("Namespaced", "Cluster"):
            text = f'Unsupported value: "{spec.get("scope")}": supported values: "Cluster", "Namespaced"'
            causes.append(Cause("FieldValueNotSupported", text, "spec.scope"))
        return causes


def _check_columns(version: Obj, index: int) -> list[Cause]:
    causes = []
    for place, column in enumerate(version.get("additionalPrinterColumns") or ()):
        try:
            jsonpath.compile_path(column.get("jsonPath", ""))
        except ValueError as error:
            field = f"spec.versions[{index}].additionalPrinterColumns[{place}].jsonPath"
            causes.append(invalid_value(field, column.get("jsonPath"), str(error)))
        if column.get("type", "string") not in COLUMN_TYPES:
            field = f"spec.versions[{index}].additionalPrinterColumns[{place}].type"
            causes.append(invalid_value(field, column["type"], f"must be one of {','.join(COLUMN_TYPES)}"))
    return causes


def resources_of(crd: Obj) -> list[Resource]:
    """The served versions of a CRD, sharing one collection."""
    spec, names = crd["spec"], crd["spec"]["names"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    found = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        has_status = "status" in (version.get("subresources") or {})
        found.append(
            Resource(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                schema=_schema_of(version),
                singular=names.get("singular", ""),
                list_kind=names.get("listKind", ""),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=(Subresource("status", names["kind"], ("get", "patch", "update")),) if has_status else (),
                columns=tuple(_column(column) for column in version.get("additionalPrinterColumns") or ()),
                builtin=False,
                status=has_status,
                generation=True,
                storage_version=storage,
                warning=_deprecation(spec, version),
                selectable={f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()},
            )
        )
    return found


def _schema_of(version: Obj) -> Callable[[], Schema]:
    schema: Schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object", PRESERVE: True}
    return lambda: schema


def _deprecation(spec: Obj, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    default = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    return str(version.get("deprecationWarning") or default)


def _column(column: Obj) -> Column:
    find = jsonpath.compile_path(column["jsonPath"])
    kind = column.get("type", "string")

    def cell(obj: Obj) -> Any:
        values = find(obj)
        if not values or values[0] is None:
            return None
        value = values[0]
        if kind == "date":
            return since(value)
        if kind == "string":
            return value if isinstance(value, str) else _text(value)
        wanted = {"integer": int, "number": int | float, "boolean": bool}[kind]
        return value if isinstance(value, wanted) else None

    return Column(
        name=column["name"],
        cell=cell,
        type=kind,
        priority=column.get("priority", 0),
        description=column.get("description") or _standard_text(column["name"]),
        format=column.get("format", ""),
    )


def _text(value: Any) -> str:
    from lab.embedded.apiserver.schema import go_value

    return go_value(value)


def _standard_text(name: str) -> str:
    return f"Custom resource definition column (in JSONPath format): {name}"
