"""Migration settings: upstream's defaults, the KubeVirt CR's changes to them, and the MigrationPolicy that fits a VMI.

Pure. Rules: upstream pkg/virt-config (defaults) and kubevirt.io/api/migrations/v1alpha1 (MatchPolicy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.embedded.operators.objects import Obj, dig, labels_of, name_of

DEFAULTS: Mapping[str, Any] = {
    "nodeDrainTaintKey": "kubevirt.io/drain",
    "parallelOutboundMigrationsPerNode": 2,
    "parallelMigrationsPerCluster": 5,
    "allowAutoConverge": False,
    "bandwidthPerMigration": "0",
    "completionTimeoutPerGiB": 150,
    "progressTimeout": 150,
    "unsafeMigrationOverride": False,
    "allowPostCopy": False,
    "allowWorkloadDisruption": False,
}
POLICY_FIELDS = (
    "allowAutoConverge",
    "bandwidthPerMigration",
    "completionTimeoutPerGiB",
    "allowPostCopy",
    "allowWorkloadDisruption",
)


def cluster_configuration(kubevirt: Obj | None) -> Obj:
    """The defaults with `spec.configuration.migrations` of the KubeVirt CR laid over them."""
    overrides = dig(kubevirt, "spec", "configuration", "migrations", default={})
    return {**DEFAULTS, **{key: value for key, value in overrides.items() if value is not None}}


def matching_policy(policies: Iterable[Obj], vmi: Obj, namespace: Obj | None) -> Obj | None:
    """The policy that matches with most labels; of equals the one first by name."""
    best: tuple[int, str] | None = None
    chosen: Obj | None = None
    for policy in policies:
        score = _score(policy, vmi, namespace)
        if score is None:
            continue
        rank = (-score, name_of(policy))
        if best is None or rank < best:
            best, chosen = rank, policy
    return chosen


def _score(policy: Obj, vmi: Obj, namespace: Obj | None) -> int | None:
    selectors = dig(policy, "spec", "selectors", default={})
    wanted_vmi = selectors.get("virtualMachineInstanceSelector") or {}
    wanted_namespace = selectors.get("namespaceSelector") or {}
    if not wanted_vmi and not wanted_namespace:
        return None
    namespace_labels = labels_of(namespace) if namespace is not None else {}
    fits = all(labels_of(vmi).get(key) == value for key, value in wanted_vmi.items()) and all(
        namespace_labels.get(key) == value for key, value in wanted_namespace.items()
    )
    return len(wanted_vmi) + len(wanted_namespace) if fits else None


def configure(configuration: Obj, policy: Obj | None) -> Obj:
    """The configuration that one migration runs with."""
    spec = dig(policy, "spec", default={})
    chosen = {key: spec[key] for key in POLICY_FIELDS if spec.get(key) is not None}
    merged = {**configuration, **chosen}
    # Older policies ask for post-copy alone; upstream takes it as leave to disrupt.
    if chosen.get("allowPostCopy") and "allowWorkloadDisruption" not in chosen:
        merged["allowWorkloadDisruption"] = True
    return merged
