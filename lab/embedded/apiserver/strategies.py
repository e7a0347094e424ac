"""What single built-in kinds do beyond storing: defaults, fields the server fills in, rules between old and new.

A strategy changes the incoming object in place; it sees no store and no request.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from lab.embedded.apiserver import podrules
from lab.embedded.apiserver.errors import Cause
from lab.embedded.apiserver.history import Collection
from lab.embedded.apiserver.objects import invalid_value
from lab.embedded.apiserver.schema import clone, go_value
from lab.embedded.apiserver.store import now

Obj = dict[str, Any]


class Strategy:
    """The default: nothing special."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        """Fill in defaults; `old` is None on creation."""

    def created(self, obj: Obj) -> None:
        """Set the initial status of a new object."""

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        """Violations that the schema cannot express."""
        return []


class PodStrategy(Strategy):
    """Pods. Upstream: `pkg/apis/core/v1/defaults.go` and the ServiceAccount and DefaultTolerationSeconds plugins."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        spec = obj.setdefault("spec", {})
        if old is None:
            spec.setdefault("serviceAccountName", "default")
            spec.setdefault("serviceAccount", spec["serviceAccountName"])
            default_tolerations(spec)
        pod_spec_defaults(spec)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("priority", 0)

    def created(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        if wrong := podrules.causes(obj["spec"]):
            return wrong
        if old is None:
            names = [c.get("name") for c in obj["spec"].get("containers") or ()]
            if not names:
                return [Cause("FieldValueRequired", "Required value", "spec.containers")]
            return [
                Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"spec.containers[{index}].name")
                for index, name in enumerate(names)
                if name in names[:index]
            ]
        if _frozen_pod_spec(obj["spec"]) != _frozen_pod_spec(old["spec"]):
            return [Cause("FieldValueForbidden", _POD_FROZEN, "spec")]
        return []


_POD_FROZEN = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _frozen_pod_spec(spec: Obj) -> Obj:
    loose = ("activeDeadlineSeconds", "tolerations", "schedulingGates", "containers", "initContainers")
    frozen = {key: value for key, value in spec.items() if key not in loose}
    for key in ("containers", "initContainers"):
        frozen[key] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(key) or ()]
    return frozen


def default_tolerations(spec: Obj) -> None:
    """Every pod bears an unready node for 300 s."""
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
            entry = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations.append(entry)


def pod_spec_defaults(spec: Obj) -> None:
    """Defaults of a pod spec, in a pod or in a template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    spec.setdefault("enableServiceLinks", True)
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        image = str(container.get("image", ""))
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        limits = container["resources"].get("limits")
        if limits:
            requests = container["resources"].setdefault("requests", {})
            for key, value in limits.items():
                requests.setdefault(key, value)


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    counted = [
        {key: {k: v for k, v in (r.get(key) or {}).items() if k in ("cpu", "memory")} for key in ("limits", "requests")}
        for r in resources
    ]
    if not any(r["limits"] or r["requests"] for r in counted):
        return "BestEffort"
    if all(len(r["limits"]) == 2 and r["limits"] == r["requests"] for r in counted):
        return "Guaranteed"
    return "Burstable"


class WorkloadStrategy(Strategy):
    """Deployments, daemon sets, replica sets, stateful sets: kept as they come, with their templates' defaults."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        spec = obj.setdefault("spec", {})
        kind = obj.get("kind")
        if kind in ("Deployment", "ReplicaSet", "StatefulSet"):
            spec.setdefault("replicas", 1)
        if kind == "Deployment":
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
            spec.setdefault("strategy", rolling)
            spec.setdefault("revisionHistoryLimit", 10)
            spec.setdefault("progressDeadlineSeconds", 600)
        template = spec.get("template")
        if isinstance(template, dict) and isinstance(template.get("spec"), dict):
            pod_spec_defaults(template["spec"])


class NamespaceStrategy(Strategy):
    """Namespaces: finalized by the server itself, labelled with their own name."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
        obj["spec"] = clone(old["spec"]) if old is not None else {"finalizers": ["kubernetes"]}

    def created(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Active"}


class SecretStrategy(Strategy):
    """Secrets: stringData is folded into data; the type cannot change."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        obj.setdefault("type", "Opaque")
        plain = obj.pop("stringData", None)
        if isinstance(plain, dict):
            data = obj.setdefault("data", {})
            for key, value in plain.items():
                data[key] = base64.b64encode(str(value).encode()).decode()

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        causes = check_data_keys(obj.get("data"))
        for key, value in (obj.get("data") or {}).items():
            try:
                base64.b64decode(value, validate=True)
            except (ValueError, TypeError):
                causes.append(invalid_value(f"data[{key}]", value, "illegal base64 data"))
        if old is not None:
            if old.get("type") != obj.get("type"):
                causes.append(invalid_value("type", obj.get("type"), "field is immutable"))
            causes += check_immutable(obj, old, "data")
        return causes


class ConfigMapStrategy(Strategy):
    """ConfigMaps: well-formed keys, immutable ones stay."""

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        causes = check_data_keys(obj.get("data"))
        return causes + (check_immutable(obj, old, "data", "binaryData") if old is not None else [])


_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def check_data_keys(data: Obj | None) -> list[Cause]:
    """Keys of ConfigMap and Secret data."""
    bad = [key for key in data or () if re.fullmatch(r"[-._a-zA-Z0-9]+", key) is None]
    return [invalid_value(f"data[{key}]", key, _KEY_TEXT) for key in bad]


def check_immutable(obj: Obj, old: Obj, *fields: str) -> list[Cause]:
    """`immutable: true` on a ConfigMap or Secret."""
    if not old.get("immutable"):
        return []
    text = "Forbidden: field is immutable when `immutable` is set"
    changed = [field for field in (*fields, "immutable") if obj.get(field) != old.get(field)]
    return [Cause("FieldValueForbidden", text, field) for field in changed]


class ServiceStrategy(Strategy):
    """Services: an address out of 10.96.0.0/16 (nobody forwards it: the lab has no service proxy)."""

    def __init__(self) -> None:
        self._next = 10

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        spec.setdefault("internalTrafficPolicy", "Cluster")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        if spec["type"] == "ExternalName":
            return
        if old is not None and not spec.get("clusterIP") and old["spec"].get("clusterIP"):
            spec["clusterIP"] = old["spec"]["clusterIP"]
        if not spec.get("clusterIP"):
            self._next += 1
            spec["clusterIP"] = f"10.96.{self._next // 250}.{self._next % 250 + 1}"
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def created(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}


class WebhookStrategy(Strategy):
    """Webhook configurations: the defaults of each webhook."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        for hook in obj.get("webhooks") or ():
            hook.setdefault("failurePolicy", "Fail")
            hook.setdefault("matchPolicy", "Equivalent")
            hook.setdefault("timeoutSeconds", 10)
            hook.setdefault("namespaceSelector", {})
            hook.setdefault("objectSelector", {})
            if obj.get("kind") == "MutatingWebhookConfiguration":
                hook.setdefault("reinvocationPolicy", "Never")
            for rule in hook.get("rules") or ():
                rule.setdefault("scope", "*")


class ApiServiceStrategy(Strategy):
    """APIServices: reported available when they are local or name the backend's URL."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        annotated = "virtlab.dev/url" in (obj["metadata"].get("annotations") or {})
        local = not obj.get("spec", {}).get("service")
        reason, text = (
            ("Local", "Local APIServices are always available")
            if local and not annotated
            else ("Passed", "all checks passed")
        )
        known = [c for c in (old or {}).get("status", {}).get("conditions") or () if c.get("reason") == reason]
        since = known[0]["lastTransitionTime"] if known else now()
        condition = {
            "type": "Available",
            "status": "True",
            "reason": reason,
            "message": text,
            "lastTransitionTime": since,
        }
        obj["status"] = {"conditions": [condition]}

    def created(self, obj: Obj) -> None:
        self.prepare(obj, None)


class LeaseStrategy(Strategy):
    """Leases: a duration is positive."""

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        duration = (obj.get("spec") or {}).get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            return [invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")]
        return []


class RoleBindingStrategy(Strategy):
    """Role bindings: subjects get their API group, the role cannot change."""

    def prepare(self, obj: Obj, old: Obj | None) -> None:
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", "rbac.authorization.k8s.io")

    def check(self, obj: Obj, old: Obj | None) -> list[Cause]:
        if old is not None and obj.get("roleRef") != old.get("roleRef"):
            why = f"Invalid value: {go_value(obj.get('roleRef'))}: cannot change roleRef"
            return [Cause("FieldValueInvalid", why, "roleRef")]
        return []


def builtin_strategies() -> dict[Collection, Strategy]:
    """Strategies by collection; others use the plain `Strategy`."""
    workload, hook, binding = WorkloadStrategy(), WebhookStrategy(), RoleBindingStrategy()
    found: dict[Collection, Strategy] = {
        ("", "pods"): PodStrategy(),
        ("", "namespaces"): NamespaceStrategy(),
        ("", "secrets"): SecretStrategy(),
        ("", "configmaps"): ConfigMapStrategy(),
        ("", "services"): ServiceStrategy(),
        ("coordination.k8s.io", "leases"): LeaseStrategy(),
        ("apiregistration.k8s.io", "apiservices"): ApiServiceStrategy(),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): hook,
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): hook,
        ("rbac.authorization.k8s.io", "rolebindings"): binding,
        ("rbac.authorization.k8s.io", "clusterrolebindings"): binding,
    }
    for plural in ("deployments", "daemonsets", "replicasets", "statefulsets"):
        found["apps", plural] = workload
    return found
