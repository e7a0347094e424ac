"""Names of the resources that the embedded lab's programs exchange over the API.

Pure data: a `Kind` knows how its REST path is spelt and nothing about storing, validating or printing objects.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One resource of one API version; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """The `apiVersion` field of objects of this kind: `v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """URL prefix of the group version: `/api/v1` or `/apis/group/version`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """URL path of a collection, object or subresource; without namespace a namespaced kind means all namespaces."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


POD = Kind("", "v1", "pods", "Pod", True)
NODE = Kind("", "v1", "nodes", "Node", False)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", False)
SECRET = Kind("", "v1", "secrets", "Secret", True)
CONFIGMAP = Kind("", "v1", "configmaps", "ConfigMap", True)
SERVICE = Kind("", "v1", "services", "Service", True)
ENDPOINTS = Kind("", "v1", "endpoints", "Endpoints", True)
SERVICEACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount", True)
EVENT = Kind("", "v1", "events", "Event", True)
PVC = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True)
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease", True)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment", True)
DAEMONSET = Kind("apps", "v1", "daemonsets", "DaemonSet", True)
CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
APISERVICE = Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", False)
MUTATING_WEBHOOK = Kind(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False
)
VALIDATING_WEBHOOK = Kind(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False
)
VM = Kind("kubevirt.io", "v1", "virtualmachines", "VirtualMachine", True)
VMI = Kind("kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", True)
VMIM = Kind("kubevirt.io", "v1", "virtualmachineinstancemigrations", "VirtualMachineInstanceMigration", True)
KUBEVIRT = Kind("kubevirt.io", "v1", "kubevirts", "KubeVirt", True)
MIGRATION_POLICY = Kind("migrations.kubevirt.io", "v1alpha1", "migrationpolicies", "MigrationPolicy", False)
NNCP = Kind("nmstate.io", "v1", "nodenetworkconfigurationpolicies", "NodeNetworkConfigurationPolicy", False)
NNCE = Kind("nmstate.io", "v1beta1", "nodenetworkconfigurationenactments", "NodeNetworkConfigurationEnactment", False)
NNS = Kind("nmstate.io", "v1beta1", "nodenetworkstates", "NodeNetworkState", False)
NAD = Kind("k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition", True)
