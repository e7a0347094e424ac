"""Labels, annotations, finalizers and names of KubeVirt's own, spelt once.

Pure data and two name rules (upstream: kubevirt.io/api/core/v1/types.go, pkg/network/namescheme). Must not grow logic.
"""

from __future__ import annotations

import hashlib

CREATED_BY = "kubevirt.io/created-by"
APP = "kubevirt.io"
LAUNCHER = "virt-launcher"
NODE_NAME = "kubevirt.io/nodeName"
MIGRATION_TARGET_NODE = "kubevirt.io/migrationTargetNodeName"
MIGRATION_JOB_UID = "kubevirt.io/migrationJobUID"
MIGRATION_JOB_NAME = "kubevirt.io/migrationJobName"
TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
VMI_NAME = "kubevirt.io/vmi-name"
VMI_ID = "vmi.kubevirt.io/id"
VM_NAME = "vm.kubevirt.io/name"
DOMAIN = "kubevirt.io/domain"
SCHEDULABLE = "kubevirt.io/schedulable"
VM_GENERATION = "kubevirt.io/vm-generation"
EVACUATION = "kubevirt.io/evacuationMigration"
OUTDATED_IMAGE = "kubevirt.io/outdatedLauncherImage"
LATEST_API = "kubevirt.io/latest-observed-api-version"
STORAGE_API = "kubevirt.io/storage-observed-api-version"
PCI_TOPOLOGY = "kubevirt.io/pci-topology-version"
ALLOW_POD_BRIDGE = "kubevirt.io/allow-pod-bridge-network-live-migration"
UNSCHEDULABLE_TIMEOUT = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds"
PENDING_TIMEOUT = "kubevirt.io/migrationPendingPodTimeoutSeconds"
UNPAUSED_GATE = "kubevirt.io/virtual-machine-unpaused"
HOSTNAME_KEY = "kubernetes.io/hostname"

VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
MIGRATION_FINALIZER = "kubevirt.io/migrationJobFinalize"

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"

SYSTEM_NAMESPACE = "kubevirt"
VIRT_API_LABEL = "kubevirt.io=virt-api"
CONTROLLER = "virtualmachine-controller"
SERVICE_ACCOUNTS = tuple(
    f"system:serviceaccount:{SYSTEM_NAMESPACE}:kubevirt-{name}"
    for name in ("controller", "handler", "apiserver", "api", "operator")
)


def is_kubevirt_user(user: str) -> bool:
    """KubeVirt's own identities: its service accounts, and the nodes that stand for virt-handler in this lab."""
    return user in SERVICE_ACCOUNTS or user.startswith("system:node:")


def pod_interface(network: str) -> str:
    """Name of a secondary network's interface in the pod (upstream pkg/network/namescheme)."""
    return "pod" + hashlib.sha256(network.encode()).hexdigest()[:11]


def hostname(name: str) -> str:
    """Upstream's SanitizeHostname: up to the first dot, at most 63 characters."""
    return name.split(".", 1)[0][:63].rstrip("-")


def label_value(name: str) -> str:
    """A name as a label value: longer than 63 characters becomes 54 of them and a hash (vmi.kubevirt.io/id)."""
    if len(name) <= 63:
        return name
    return f"{name[:54]}-{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]}"
