"""Rules for every object's metadata: names, labels, what the server sets, what an update may not change."""

from __future__ import annotations

import random
import re
from typing import Any

from lab.embedded.apiserver.builtin import model_schema
from lab.embedded.apiserver.errors import Cause
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.schema import go_value, prune, validate
from lab.embedded.apiserver.store import new_uid, now

Obj = dict[str, Any]

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
)
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
_KEY = re.compile(rf"^({_SUBDOMAIN}/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
# These may hold colons and capitals (RBAC) or are looser by history.
_LOOSE_NAMES = frozenset(["clusterroles", "clusterrolebindings", "roles", "rolebindings"])
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion")


def invalid_value(field: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {go_value(value)}: {why}", field)


def check_name(resource: Resource, meta: Obj) -> list[Cause]:
    """Causes for a missing or ill-formed metadata.name."""
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        return [Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")]
    if resource.plural in _LOOSE_NAMES and resource.group == "rbac.authorization.k8s.io":
        bad = name in (".", "..") or "/" in name or "%" in name
        return [invalid_value("metadata.name", name, "may not be '.' or '..' or contain '/' or '%'")] if bad else []
    short = resource.collection in (("", "namespaces"), ("", "services"))
    limit, pattern, text = (63, LABEL, LABEL_TEXT) if short else (253, _SUBDOMAIN, _SUBDOMAIN_TEXT)
    causes = []
    if len(name) > limit:
        causes.append(invalid_value("metadata.name", name, f"must be no more than {limit} characters"))
    if re.fullmatch(pattern, name) is None:
        causes.append(invalid_value("metadata.name", name, text))
    return causes


def check_metadata(resource: Resource, obj: Obj) -> list[Cause]:
    """All violations in an object's metadata."""
    meta = obj["metadata"]
    causes = validate(meta, model_schema("V1ObjectMeta"), "metadata")
    if causes:
        return causes
    causes = check_name(resource, meta)
    for key, value in (meta.get("labels") or {}).items():
        if not _KEY.match(key):
            causes.append(invalid_value("metadata.labels", key, _KEY_TEXT))
        if len(value) > 63:
            causes.append(invalid_value("metadata.labels", value, "must be no more than 63 characters"))
        elif re.fullmatch(_VALUE, value) is None:
            causes.append(invalid_value("metadata.labels", value, _VALUE_TEXT))
    for key in meta.get("annotations") or ():
        if not _KEY.match(key.lower()):
            causes.append(invalid_value("metadata.annotations", key, _KEY_TEXT))
    size = sum(len(key) + len(value) for key, value in (meta.get("annotations") or {}).items())
    if size > 256 * 1024:
        causes.append(Cause("FieldValueTooLong", "Too long: may not be more than 262144 bytes", "metadata.annotations"))
    controllers = [owner for owner in meta.get("ownerReferences") or () if owner.get("controller")]
    if len(controllers) > 1:
        names = [f"{owner.get('kind')}/{owner.get('name')}" for owner in controllers]
        why = f'Only one reference can have Controller set to true. Found "true" in references for {", ".join(names)}'
        causes.append(invalid_value("metadata.ownerReferences", names, why))
    return causes


def random_suffix() -> str:
    return "".join(random.choices(_SUFFIX, k=5))  # noqa: S311 - a name, not a secret


def clean_metadata(obj: Obj) -> list[str]:
    """Drop nulls and unknown fields of metadata; returns the paths of the unknown ones."""
    meta = obj["metadata"]
    for key in [key for key, value in meta.items() if value is None]:
        del meta[key]
    meta.pop("selfLink", None)
    return prune(meta, model_schema("V1ObjectMeta"), "metadata")


def begin(resource: Resource, obj: Obj) -> None:
    """Metadata of an object that is being created."""
    meta = obj["metadata"]
    for key in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"):
        meta.pop(key, None)
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = now()
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:58] + random_suffix()
    if resource.generation:
        meta["generation"] = 1
    if not resource.namespaced:
        meta.pop("namespace", None)


def carry_over(new: Obj, old: Obj) -> None:
    """Put back what only the server sets."""
    for key in KEPT:
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]
        else:
            new["metadata"].pop(key, None)


def spec_changed(resource: Resource, new: Obj, old: Obj) -> bool:
    """Whether an update changes desired state: anything but metadata and (with a status subresource) status."""
    if resource.builtin:
        skip = {"metadata", "status", "apiVersion", "kind"}
    else:
        skip = {"metadata", "apiVersion", "kind"} | ({"status"} if resource.status else set())
    keys = (new.keys() | old.keys()) - skip
    return any(new.get(key) != old.get(key) for key in keys)


def same_but_managed(new: Obj, old: Obj) -> bool:
    """Whether two states differ in nothing but managedFields (and the stored apiVersion)."""

    def bare(obj: Obj) -> Obj:
        skip = ("managedFields", "resourceVersion")
        meta = {key: value for key, value in obj["metadata"].items() if key not in skip}
        return {**obj, "metadata": meta, "apiVersion": ""}

    return bare(new) == bare(old)
