"""Printer columns of the built-in kinds. Upstream: kubernetes `pkg/printers/internalversion/printers.go`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.embedded.apiserver.printpod import PODS
from lab.embedded.apiserver.resources import Column
from lab.embedded.apiserver.tables import CREATED_AT, age, human_duration, since

Obj = dict[str, Any]
AGE = Column("Age", age)


def _path(*keys: str, empty: Any = "<none>") -> Callable[[Obj], Any]:
    def cell(obj: Obj) -> Any:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return empty if value in (None, "") else value

    return cell


def _count(*keys: str) -> Callable[[Obj], Any]:
    read = _path(*keys, empty=())
    return lambda obj: len(read(obj))


def _column(name: str, *keys: str, type: str = "string", priority: int = 0, empty: Any = "<none>") -> Column:
    return Column(name, _path(*keys, empty=empty), type=type, priority=priority)


def _number(name: str, *keys: str) -> Column:
    return Column(name, _path(*keys, empty=0), type="integer")


def _node_status(obj: Obj) -> str:
    ready = [c for c in obj.get("status", {}).get("conditions") or () if c.get("type") == "Ready"]
    words = [("Ready" if c.get("status") == "True" else "NotReady") for c in ready] or ["Unknown"]
    if obj.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix) and key != prefix)
    return ",".join(roles) or "<none>"


def _node_address(kind: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        for address in obj.get("status", {}).get("addresses") or ():
            if address.get("type") == kind:
                return str(address.get("address"))
        return "<none>"

    return cell


def _node_info(name: str, field: str) -> Column:
    return _column(name, "status", "nodeInfo", field, priority=1, empty="<unknown>")


def _event_object(obj: Obj) -> str:
    about = obj.get("involvedObject", {})
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host", "")
    return ", ".join(part for part in (component, host) if part)


def _event_last(obj: Obj) -> str:
    series = obj.get("series") or {}
    last = series.get("lastObservedTime") or obj.get("lastTimestamp")
    return since(last or obj.get("firstTimestamp") or obj.get("eventTime"))


def _event_first(obj: Obj) -> str:
    return since(obj.get("firstTimestamp") or obj.get("eventTime"))


def _event_count(obj: Obj) -> int:
    return int((obj.get("series") or {}).get("count") or obj.get("count") or 1)


def _service_ports(obj: Obj) -> str:
    words = []
    for port in obj.get("spec", {}).get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        words.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(words) or "<none>"


def _labels(*keys: str) -> Callable[[Obj], str]:
    read = _path(*keys, empty={})
    return lambda obj: ",".join(f"{key}={value}" for key, value in sorted(read(obj).items())) or "<none>"


def _endpoints(obj: Obj) -> str:
    found = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in obj.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return (",".join(found[:3]) + more) or "<none>"


def _ready_of(obj: Obj) -> str:
    wanted = obj.get("spec", {}).get("replicas", 1)
    return f"{obj.get('status', {}).get('readyReplicas', 0)}/{wanted}"


def _secrets_of(obj: Obj) -> int:
    return len(obj.get("secrets") or ())


def _apiservice_target(obj: Obj) -> str:
    service = obj.get("spec", {}).get("service")
    return f"{service.get('namespace')}/{service.get('name')}" if service else "Local"


def _apiservice_available(obj: Obj) -> str:
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition.get("type") == "Available":
            good = condition.get("status") == "True"
            return "True" if good else f"{condition.get('status')} ({condition.get('reason', '')})"
    return "Unknown"


def _role_ref(obj: Obj) -> str:
    reference = obj.get("roleRef", {})
    return f"{reference.get('kind')}/{reference.get('name')}"


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(obj: Obj) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in obj.get("status", {}).get("accessModes") or ())


def _job_duration(obj: Obj) -> str:
    status = obj.get("status", {})
    if not status.get("startTime"):
        return ""
    from datetime import datetime

    if not status.get("completionTime"):
        return since(status["startTime"])
    ends = [datetime.fromisoformat(status[key].replace("Z", "+00:00")) for key in ("startTime", "completionTime")]
    return human_duration((ends[1] - ends[0]).total_seconds())


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): PODS,
    ("", "nodes"): (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        _column("Version", "status", "nodeInfo", "kubeletVersion", empty=""),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        _node_info("OS-Image", "osImage"),
        _node_info("Kernel-Version", "kernelVersion"),
        _node_info("Container-Runtime", "containerRuntimeVersion"),
    ),
    ("", "namespaces"): (_column("Status", "status", "phase", empty=""), AGE),
    ("", "secrets"): (_column("Type", "type"), Column("Data", _count("data"), type="integer"), AGE),
    ("", "configmaps"): (
        Column("Data", lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), type="integer"),
        AGE,
    ),
    ("", "serviceaccounts"): (Column("Secrets", _secrets_of, type="integer"), AGE),
    ("", "services"): (
        _column("Type", "spec", "type"),
        _column("Cluster-IP", "spec", "clusterIP"),
        Column("External-IP", lambda obj: ",".join(obj.get("spec", {}).get("externalIPs") or ()) or "<none>"),
        Column("Port(s)", _service_ports),
        AGE,
        Column("Selector", _labels("spec", "selector"), priority=1),
    ),
    ("", "endpoints"): (Column("Endpoints", _endpoints), AGE),
    ("", "events"): (
        Column("Last Seen", _event_last),
        _column("Type", "type", empty=""),
        _column("Reason", "reason", empty=""),
        Column("Object", _event_object),
        _column("Subobject", "involvedObject", "fieldPath", priority=1, empty=""),
        Column("Source", _event_source, priority=1),
        Column("Message", lambda obj: str(obj.get("message", "")).strip()),
        Column("First Seen", _event_first, priority=1),
        Column("Count", _event_count, priority=1),
        Column("Name", lambda obj: obj["metadata"]["name"], priority=1),
    ),
    ("", "persistentvolumeclaims"): (
        _column("Status", "status", "phase", empty=""),
        _column("Volume", "spec", "volumeName", empty=""),
        _column("Capacity", "status", "capacity", "storage", empty=""),
        Column("Access Modes", _modes),
        _column("StorageClass", "spec", "storageClassName", empty=""),
        _column("VolumeAttributesClass", "spec", "volumeAttributesClassName", empty="<unset>"),
        AGE,
    ),
    ("apps", "deployments"): (
        Column("Ready", _ready_of),
        _number("Up-to-date", "status", "updatedReplicas"),
        _number("Available", "status", "availableReplicas"),
        AGE,
    ),
    ("apps", "replicasets"): (
        _number("Desired", "spec", "replicas"),
        _number("Current", "status", "replicas"),
        _number("Ready", "status", "readyReplicas"),
        AGE,
    ),
    ("apps", "statefulsets"): (Column("Ready", _ready_of), AGE),
    ("apps", "daemonsets"): (
        _number("Desired", "status", "desiredNumberScheduled"),
        _number("Current", "status", "currentNumberScheduled"),
        _number("Ready", "status", "numberReady"),
        _number("Up-to-date", "status", "updatedNumberScheduled"),
        _number("Available", "status", "numberAvailable"),
        Column("Node Selector", _labels("spec", "template", "spec", "nodeSelector")),
        AGE,
    ),
    ("batch", "jobs"): (
        Column("Status", lambda obj: "Complete" if obj.get("status", {}).get("succeeded") else "Running"),
        Column("Completions", lambda o: f"{o.get('status', {}).get('succeeded', 0)}/{o['spec'].get('completions', 1)}"),
        Column("Duration", _job_duration),
        AGE,
    ),
    ("coordination.k8s.io", "leases"): (_column("Holder", "spec", "holderIdentity", empty=""), AGE),
    ("rbac.authorization.k8s.io", "clusterroles"): CREATED_AT,
    ("rbac.authorization.k8s.io", "roles"): CREATED_AT,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (Column("Role", _role_ref), AGE),
    ("rbac.authorization.k8s.io", "rolebindings"): (Column("Role", _role_ref), AGE),
    ("apiextensions.k8s.io", "customresourcedefinitions"): CREATED_AT,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): (
        Column("Webhooks", _count("webhooks"), type="integer"),
        AGE,
    ),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): (
        Column("Webhooks", _count("webhooks"), type="integer"),
        AGE,
    ),
    ("apiregistration.k8s.io", "apiservices"): (
        Column("Service", _apiservice_target),
        Column("Available", _apiservice_available),
        AGE,
    ),
    ("scheduling.k8s.io", "priorityclasses"): (
        _number("Value", "value"),
        Column("Global-Default", lambda obj: bool(obj.get("globalDefault")), type="boolean"),
        AGE,
    ),
    ("policy", "poddisruptionbudgets"): (
        _column("Min Available", "spec", "minAvailable", empty="N/A"),
        _column("Max Unavailable", "spec", "maxUnavailable", empty="N/A"),
        _number("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
    ("storage.k8s.io", "storageclasses"): (
        _column("Provisioner", "provisioner"),
        _column("ReclaimPolicy", "reclaimPolicy", empty="Delete"),
        _column("VolumeBindingMode", "volumeBindingMode", empty="Immediate"),
        Column("AllowVolumeExpansion", lambda obj: bool(obj.get("allowVolumeExpansion")), type="boolean"),
        AGE,
    ),
}
COLUMNS["events.k8s.io", "events"] = COLUMNS["", "events"]
