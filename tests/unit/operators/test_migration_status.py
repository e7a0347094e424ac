"""A migration's phases, endings and settings."""

from __future__ import annotations

from typing import Any

import pytest
from operator_samples import Obj, pod, vmi

from lab.embedded.operators.handover import go_time
from lab.embedded.operators.migration_config import DEFAULTS, cluster_configuration, configure, matching_policy
from lab.embedded.operators.migration_status import Said, advance


def migration(phase: str = "", **meta: Any) -> Obj:
    status = {"phase": phase} if phase else {}
    return {
        "metadata": {"name": "m", "namespace": "demo", "uid": "U", **meta},
        "spec": {"vmiName": "vm"},
        "status": status,
    }


def state(**more: Any) -> Obj:
    return {"migrationUid": "U", "sourceNode": "worker-1", "targetNode": "worker-2", "targetPod": "t", **more}


READY = pod("t", "worker-2", "Running", ready=True)
PHASES = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]


def test_each_fact_brings_the_next_phase() -> None:
    subject = migration()
    steps: list[tuple[Obj, Obj | None, str]] = [
        (vmi(), None, "Pending"),
        (vmi(), pod("t"), "Scheduling"),
        (vmi(), READY, "Scheduled"),
        (vmi(migrationState=state()), READY, "PreparingTarget"),
        (vmi(migrationState=state(targetNodeAddress="10.0.0.2")), READY, "TargetReady"),
        (vmi(migrationState=state(targetNodeAddress="10.0.0.2", startTimestamp="t")), READY, "Running"),
    ]
    for target, target_pod, expected in steps:
        assert advance(subject, target, target_pod, "s") is None
        assert subject["status"]["phase"] == expected
    assert subject["status"]["migrationState"] == {"sourcePod": "s"}
    done = state(targetNodeAddress="10.0.0.2", startTimestamp="t", endTimestamp="t", completed=True)
    said = advance(subject, vmi(node="worker-2", migrationState=done), READY, "s")
    assert said == Said("Normal", "SuccessfulMigration", "Source node reported migration succeeded")
    assert subject["status"]["migrationState"] == done
    assert [entry["phase"] for entry in subject["status"]["phaseTransitionTimestamps"]] == PHASES


def test_a_fast_run_passes_phases_in_one_step() -> None:
    subject = migration("Scheduling")
    done = state(targetNodeAddress="10.0.0.2", startTimestamp="t", completed=True)
    assert advance(subject, vmi(migrationState=done), READY, "s") is not None
    assert subject["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("phase", "target", "target_pod", "meta", "message"),
    [
        ("Pending", None, None, {}, "Migration failed because vmi does not exist."),
        ("Pending", vmi(phase="Failed"), None, {}, "Migration failed vmi shutdown during migration."),
        ("Scheduling", vmi(), pod("t"), {"deletionTimestamp": "t"}, "Migration failed due to being canceled"),
        (
            "Scheduling",
            vmi(),
            pod("t", "worker-2", "Failed"),
            {},
            "Migration failed because target pod shutdown during migration",
        ),
        ("Scheduling", vmi(), None, {}, "Migration target pod was removed during active migration."),
        ("Running", vmi(), READY, {}, "VMI's migration state was cleared during the active migration."),
        ("Running", vmi(migrationState=state(failed=True)), READY, {}, "source node reported migration failed"),
    ],
)
def test_failures(phase: str, target: Obj | None, target_pod: Obj | None, meta: Obj, message: str) -> None:
    subject = migration(phase, **meta)
    assert advance(subject, target, target_pod, "s") == Said("Warning", "FailedMigration", message)
    assert subject["status"]["phase"] == "Failed"


def test_a_target_that_just_went_down_leaves_the_word_to_the_source() -> None:
    from lab.embedded.operators.objects import now

    down = pod("t", "worker-2", "Failed")
    down["status"]["containerStatuses"] = [{"state": {"terminated": {"finishedAt": now()}}}]
    subject = migration("Running")
    assert advance(subject, vmi(migrationState=state(startTimestamp="t")), down, "s") is None


def test_cancel_while_running_waits_for_the_source() -> None:
    subject = migration("Running", deletionTimestamp="t")
    assert advance(subject, vmi(migrationState=state(startTimestamp="t")), READY, "s") is None
    assert subject["status"]["conditions"][0]["type"] == "migrationAbortRequested"


def test_configuration() -> None:
    changed = {"spec": {"configuration": {"migrations": {"parallelMigrationsPerCluster": 9}}}}
    assert cluster_configuration(None) == DEFAULTS
    settings = cluster_configuration(changed)
    assert settings["parallelMigrationsPerCluster"] == 9

    def policy(name: str, selectors: Obj, **spec: Any) -> Obj:
        return {"metadata": {"name": name}, "spec": {"selectors": selectors, **spec}}

    policies = [
        policy("b-wide", {"namespaceSelector": {"team": "x"}}, allowAutoConverge=True),
        policy("a-wide", {"virtualMachineInstanceSelector": {"app": "vm"}}, bandwidthPerMigration="64Mi"),
        policy(
            "narrow",
            {"namespaceSelector": {"team": "x"}, "virtualMachineInstanceSelector": {"app": "vm"}},
            allowPostCopy=True,
            completionTimeoutPerGiB=1,
        ),
        policy("other", {"virtualMachineInstanceSelector": {"app": "no"}}),
    ]
    namespace = {"metadata": {"name": "demo", "labels": {"team": "x"}}}
    best = matching_policy(policies, vmi(), namespace)
    assert best is policies[2]
    assert matching_policy(policies[:2], vmi(), namespace) is policies[1]
    assert matching_policy(policies, vmi("no"), None) is policies[3]
    merged = configure(settings, best)
    assert (merged["allowPostCopy"], merged["completionTimeoutPerGiB"]) == (True, 1)


def test_go_time() -> None:
    assert go_time("2026-08-22T10:34:54Z") == "2026-08-22 10:34:54 +0000 UTC"
