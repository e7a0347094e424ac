"""Limits for migrations, and the words of a migration policy."""

from __future__ import annotations

import pytest

from lab.kubevirt.migrationpolicy import policy


def test_a_policy_means_the_guests_of_one_namespace_and_nobody_else_s() -> None:
    made = policy("demo", {"bandwidthPerMigration": "16Mi"}, {"virtlab.dev/run": "x"})
    assert made["spec"] == {
        "bandwidthPerMigration": "16Mi",
        "selectors": {"namespaceSelector": {"kubernetes.io/metadata.name": "demo"}},
    }
    assert made["metadata"] == {"name": "demo", "labels": {"virtlab.dev/run": "x"}}


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="found bandwidth"):
        policy("demo", {"bandwidth": "16Mi"}, {})
