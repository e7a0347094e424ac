"""The built-in kinds: names, verbs, subresources, and their schemas from the generated field table."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from lab.embedded.apiserver import eventsv1
from lab.embedded.apiserver.columns import COLUMNS
from lab.embedded.apiserver.resources import ALL_VERBS, Resource, Subresource
from lab.embedded.apiserver.schema import INT_OR_STRING, PRESERVE, Schema

QUANTITY = "x-virtlab-quantity"
_QUANTITIES = frozenset(
    ["requests", "limits", "capacity", "allocatable", "hard", "used", "overhead", "allocatedResources"]
)
_INT_OR_STRING = frozenset(["port", "targetPort", "maxUnavailable", "minAvailable", "maxSurge"])
_SCALARS: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {PRESERVE: True},
}
# (model pattern, field) -> keys of list items; the first is strategic merge's. Upstream: the types' +listMapKey marks.
_KEYED: dict[tuple[str, str], tuple[str, ...]] = {
    (r"V1PodSpec", "containers"): ("name",),
    (r"V1PodSpec", "initContainers"): ("name",),
    (r"V1PodSpec", "ephemeralContainers"): ("name",),
    (r"V1PodSpec", "volumes"): ("name",),
    (r"V1PodSpec", "imagePullSecrets"): ("name",),
    (r"V1PodSpec", "hostAliases"): ("ip",),
    (r"V1PodSpec", "schedulingGates"): ("name",),
    (r"V1PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    (r"V1(Ephemeral)?Container", "env"): ("name",),
    (r"V1(Ephemeral)?Container", "ports"): ("containerPort", "protocol"),
    (r"V1(Ephemeral)?Container", "volumeMounts"): ("mountPath",),
    (r"V1(Ephemeral)?Container", "volumeDevices"): ("devicePath",),
    (r"V1ServiceSpec", "ports"): ("port", "protocol"),
    (r"V1ServiceAccount", "secrets"): ("name",),
    (r"V1NodeStatus", "addresses"): ("type",),
    (r"V1PodStatus", "podIPs"): ("ip",),
    (r"V1(Mutating|Validating)WebhookConfiguration", "webhooks"): ("name",),
    (r".*Status", "conditions"): ("type",),
}
_SETS = frozenset([("V1ObjectMeta", "finalizers"), ("V1NodeSpec", "podCIDRs")])
_OPAQUE = frozenset(["V1JSONSchemaProps"])


@functools.cache
def table() -> dict[str, Any]:
    """The generated field table: model -> {fields: {name: [type, description]}, required, doc}."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / "builtin.json").read_text())
    return loaded


def keys_of(model: str, field: str) -> tuple[str, ...]:
    """Keys of a list field's items, empty for atomic lists."""
    for (pattern, name), keys in _KEYED.items():
        if name == field and re.fullmatch(pattern, model):
            return keys
    return ()


_NODES: dict[str, Schema] = {}


def model_schema(name: str) -> Schema:
    """Schema of a model; nodes are shared between models, so they must never be changed."""
    if name in _NODES:
        return _NODES[name]
    node: Schema = {"type": "object", "x-virtlab-model": name}
    _NODES[name] = node
    if name in _OPAQUE:
        node[PRESERVE] = True
        return node
    entry = table()[name]
    node["properties"] = {field: field_schema(name, field, kind) for field, (kind, _text) in entry["fields"].items()}
    if entry["required"]:
        node["required"] = entry["required"]
    if name == "V1LabelSelector" or (name.endswith("Reference") and name != "V1OwnerReference"):
        node["x-kubernetes-map-type"] = "atomic"
    return node


def field_schema(model: str, field: str, kind: str) -> Schema:
    """Schema of one field from its type in the table."""
    if field in _INT_OR_STRING and kind == "object":
        return {INT_OR_STRING: True}
    if kind in _SCALARS:
        return {**_SCALARS[kind], "default": "TCP"} if (model, field) in _PROTOCOLS else _SCALARS[kind]
    if match := re.fullmatch(r"List\[(.*)\]", kind):
        node: Schema = {"type": "array", "items": field_schema("", "", match[1])}
        keys = keys_of(model, field)
        if keys:
            node["x-kubernetes-list-type"] = "map"
            node["x-kubernetes-list-map-keys"] = list(keys)
            node["x-kubernetes-patch-strategy"] = "merge"
            node["x-kubernetes-patch-merge-key"] = keys[0]
        elif (model, field) in _SETS:
            node["x-kubernetes-list-type"] = "set"
            node["x-kubernetes-patch-strategy"] = "merge"
        return node
    if match := re.fullmatch(r"Dict\[str, (.*)\]", kind):
        if field in _QUANTITIES:
            return {"type": "object", "additionalProperties": {INT_OR_STRING: True, QUANTITY: True}}
        return {"type": "object", "additionalProperties": field_schema("", "", match[1])}
    return model_schema(kind)


_PROTOCOLS = frozenset([("V1ContainerPort", "protocol"), ("V1ServicePort", "protocol")])

_GET = ("get",)
_STATUS = ("get", "patch", "update")
_POD_SUBRESOURCES = (
    Subresource("attach", "PodAttachOptions", ("create", "get")),
    Subresource("binding", "Binding", ("create",)),
    Subresource("ephemeralcontainers", "Pod", _STATUS),
    Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
    Subresource("exec", "PodExecOptions", ("create", "get")),
    Subresource("log", "Pod", _GET),
    Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
    Subresource("status", "Pod", _STATUS),
)

# plural, kind, short names, flags: n namespaced, s status, g generation, r review (create only), c in category "all"
_KINDS: dict[tuple[str, str], str] = {
    ("", "v1"): """
        bindings Binding - nr
        configmaps ConfigMap cm n
        endpoints Endpoints ep n
        events Event ev n
        limitranges LimitRange limits n
        namespaces Namespace ns s
        nodes Node no s
        persistentvolumeclaims PersistentVolumeClaim pvc ns
        persistentvolumes PersistentVolume pv s
        pods Pod po nsc
        resourcequotas ResourceQuota quota ns
        secrets Secret - n
        serviceaccounts ServiceAccount sa n
        services Service svc nsc""",
    ("apps", "v1"): """
        controllerrevisions ControllerRevision - n
        daemonsets DaemonSet ds nsgc
        deployments Deployment deploy nsgc
        replicasets ReplicaSet rs nsgc
        statefulsets StatefulSet sts nsgc""",
    ("batch", "v1"): """
        cronjobs CronJob cj nsgc
        jobs Job - nsgc""",
    ("coordination.k8s.io", "v1"): "leases Lease - n",
    ("events.k8s.io", "v1"): "events Event ev n",
    ("authorization.k8s.io", "v1"): """
        localsubjectaccessreviews LocalSubjectAccessReview - nr
        selfsubjectaccessreviews SelfSubjectAccessReview - r
        selfsubjectrulesreviews SelfSubjectRulesReview - r
        subjectaccessreviews SubjectAccessReview - r""",
    ("authentication.k8s.io", "v1"): """
        selfsubjectreviews SelfSubjectReview - r
        tokenreviews TokenReview - r""",
    ("rbac.authorization.k8s.io", "v1"): """
        clusterrolebindings ClusterRoleBinding - -
        clusterroles ClusterRole - -
        rolebindings RoleBinding - n
        roles Role - n""",
    ("apiextensions.k8s.io", "v1"): "customresourcedefinitions CustomResourceDefinition crd,crds sg",
    ("admissionregistration.k8s.io", "v1"): """
        mutatingwebhookconfigurations MutatingWebhookConfiguration - g
        validatingadmissionpolicies ValidatingAdmissionPolicy - sg
        validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding - g
        validatingwebhookconfigurations ValidatingWebhookConfiguration - g""",
    ("apiregistration.k8s.io", "v1"): "apiservices APIService - s",
    ("scheduling.k8s.io", "v1"): "priorityclasses PriorityClass pc g",
    ("policy", "v1"): "poddisruptionbudgets PodDisruptionBudget pdb nsg",
    ("storage.k8s.io", "v1"): "storageclasses StorageClass sc -",
    ("networking.k8s.io", "v1"): "networkpolicies NetworkPolicy netpol ng",
}
_MODELS = {("", "Event"): "CoreV1Event", ("events.k8s.io", "Event"): "EventsV1Event"}


def builtin_resources() -> list[Resource]:
    """All built-in resources; cheap, since schemas are made on first use."""
    found = []
    for (group, version), lines in _KINDS.items():
        for line in lines.strip().splitlines():
            plural, kind, short, flags = line.split()
            found.append(_resource(group, version, plural, kind, short, flags))
    return found


def _resource(group: str, version: str, plural: str, kind: str, short: str, flags: str) -> Resource:
    model = _MODELS.get((group, kind), f"V1{kind}")
    if plural == "pods":
        subresources: tuple[Subresource, ...] = _POD_SUBRESOURCES
    else:
        subresources = (Subresource("status", kind, _STATUS),) if "s" in flags else ()
    if plural == "serviceaccounts":
        subresources = (Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),)
    if plural == "namespaces":
        subresources = (Subresource("finalize", kind, ("update",)), *subresources)
    sibling = group == "events.k8s.io"
    return Resource(
        shared=("", "events") if sibling else None,
        outward=eventsv1.outward if sibling else None,
        inward=eventsv1.inward if sibling else None,
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced="n" in flags,
        schema=functools.partial(model_schema, model),
        short_names=() if short == "-" else tuple(short.split(",")),
        categories=("all",) if "c" in flags else ("api-extensions",) if group in _EXTENSIONS else (),
        verbs=("create",) if "r" in flags else ALL_VERBS,
        subresources=subresources,
        columns=COLUMNS.get((group, plural), ()),
        status="s" in flags,
        generation="g" in flags,
        create_only="r" in flags,
        definition=model,
    )


_EXTENSIONS = ("apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io")
