"""Write `builtin.json`: types, required fields and short descriptions of the built-in kinds.

Run by hand (`python -m lab.embedded.apiserver.schemas.generate`) when kinds are added; the server reads only the JSON,
because importing the client's 800 models costs a second. What the models do not say (list keys) is in `builtin.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_ROOTS = """
Namespace Node Pod PodTemplateSpec Secret ConfigMap Service ServiceAccount Endpoints
PersistentVolumeClaim PersistentVolume ResourceQuota LimitRange Deployment DaemonSet ReplicaSet
StatefulSet ControllerRevision Lease Job CronJob SelfSubjectAccessReview SelfSubjectRulesReview
SubjectAccessReview LocalSubjectAccessReview SelfSubjectReview TokenReview Role RoleBinding
ClusterRole ClusterRoleBinding CustomResourceDefinition MutatingWebhookConfiguration
ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding APIService
PriorityClass PodDisruptionBudget StorageClass Binding Eviction NetworkPolicy DeleteOptions
"""
ROOTS = _ROOTS.split()
EXTRA = ("CoreV1Event", "EventsV1Event", "AuthenticationV1TokenRequest")
DESCRIPTION_CHARS = 220


def _model(name: str) -> Any:
    from kubernetes.client import models

    return getattr(models, name)


def _short(text: str | None) -> str:
    text = " ".join((text or "").split())
    if len(text) <= DESCRIPTION_CHARS:
        return text
    cut = text[:DESCRIPTION_CHARS]
    return cut[: cut.rfind(". ") + 1] or cut[: cut.rfind(" ")] + " ..."


def _entry(model: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    required: list[str] = []
    for attribute, kind in model.openapi_types.items():
        name = model.attribute_map[attribute]
        field = next(f for key, f in model.model_fields.items() if attribute == key or f.serialization_alias == name)
        fields[name] = [kind, _short(field.description)]
        if field.is_required():
            required.append(name)
    doc = (model.__doc__ or "").split("Attributes:")[0]
    return {"fields": fields, "required": sorted(required), "doc": _short(doc)}


def main() -> None:
    """Walk the models from the roots and write the file beside this module."""
    table: dict[str, Any] = {}
    todo = [f"V1{root}" for root in ROOTS] + list(EXTRA)
    while todo:
        name = todo.pop()
        if name in table:
            continue
        table[name] = _entry(_model(name))
        for kind, _description in table[name]["fields"].values():
            todo += [found for found in re.findall(r"\w+", kind) if re.match(r"([A-Z][a-z]+)?V\d", found)]
    lines = [f"{json.dumps(name)}: {json.dumps(table[name], separators=(',', ':'))}" for name in sorted(table)]
    Path(__file__).with_name("builtin.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
