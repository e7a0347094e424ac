"""The kinds the harness talks about, as a manifest names them; where they live in the API is asked of the server.

Pure data. A version here is the one the harness reads and writes; manifests may carry any that the cluster serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.core.errors import UsageError

Obj = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`api_version` as in a manifest ("v1", "kubevirt.io/v1") and `kind` ("VirtualMachine")."""

    api_version: str
    kind: str

    def __str__(self) -> str:
        return self.kind


NODE = Kind("v1", "Node")
NAMESPACE = Kind("v1", "Namespace")
POD = Kind("v1", "Pod")
SECRET = Kind("v1", "Secret")
CONFIGMAP = Kind("v1", "ConfigMap")
EVENT = Kind("v1", "Event")
SERVICE = Kind("v1", "Service")
ENDPOINTS = Kind("v1", "Endpoints")
LEASE = Kind("coordination.k8s.io/v1", "Lease")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
ACCESS_REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview")
VM = Kind("kubevirt.io/v1", "VirtualMachine")
VMI = Kind("kubevirt.io/v1", "VirtualMachineInstance")
VMIM = Kind("kubevirt.io/v1", "VirtualMachineInstanceMigration")
MIGRATION_POLICY = Kind("migrations.kubevirt.io/v1alpha1", "MigrationPolicy")
KUBEVIRT = Kind("kubevirt.io/v1", "KubeVirt")
NNCP = Kind("nmstate.io/v1", "NodeNetworkConfigurationPolicy")
NNCE = Kind("nmstate.io/v1beta1", "NodeNetworkConfigurationEnactment")
NNS = Kind("nmstate.io/v1beta1", "NodeNetworkState")
NAD = Kind("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition")


def kind_of(obj: Obj) -> Kind:
    """The kind of a manifest. Raises UsageError when it names none."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise UsageError("a manifest with apiVersion and kind", f"apiVersion={api_version!r}, kind={kind!r}")
    return Kind(api_version, kind)


def name_of(obj: Obj) -> str:
    """`namespace/name`, or `name` of what has no namespace."""
    meta = obj.get("metadata") or {}
    name = meta.get("name") or f"{meta.get('generateName', '?')}*"
    return f"{meta['namespace']}/{name}" if meta.get("namespace") else str(name)


def condition(obj: Obj | None, type_: str) -> Obj:
    """A status condition by type, or an empty one."""
    for entry in ((obj or {}).get("status") or {}).get("conditions") or []:
        if entry.get("type") == type_:
            return dict(entry)
    return {}
