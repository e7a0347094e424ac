"""How migrations of a namespace's guests are made, as a MigrationPolicy: bandwidth, auto-converge, post-copy.

A policy is the cluster's, and chosen by labels: that of the namespace, so that nobody else's guests are meant. Its name
is the namespace's, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.access.kinds import MIGRATION_POLICY, Obj

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
SETTINGS = ("bandwidthPerMigration", "allowAutoConverge", "allowPostCopy", "completionTimeoutPerGiB")


def policy(namespace: str, settings: Mapping[str, object], labels: Mapping[str, str]) -> Obj:
    """The object; *settings* are fields of its spec. Raises ValueError for one that it has not."""
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise ValueError(f"wanted settings among {', '.join(SETTINGS)}, found {', '.join(unknown)}")
    return {
        "apiVersion": MIGRATION_POLICY.api_version,
        "kind": MIGRATION_POLICY.kind,
        "metadata": {"name": namespace, "labels": dict(labels)},
        "spec": {**settings, "selectors": {"namespaceSelector": {NAMESPACE_LABEL: namespace}}},
    }
