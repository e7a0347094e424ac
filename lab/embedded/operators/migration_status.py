"""The phases of a VirtualMachineInstanceMigration, as a pure step: what is known -> the next phase, and what to say.

Rules: upstream pkg/virt-controller/watch/migration/migration.go (updateStatus, processMigrationPhase). A step goes as
far as the facts reach, so phases that lasted no time are passed in one write, as upstream's are never all observable.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.embedded.operators.objects import Obj, clone, deleting, dig, enter_phase, has_condition, phase_of, uid_of
from lab.embedded.operators.objects import set_condition as put_condition
from lab.embedded.operators.vmi_status import HANDLER_GRACE_SECONDS, down_for, is_pod_down, is_pod_ready

FINAL = ("Succeeded", "Failed")
HANDED_OFF = ("PreparingTarget", "TargetReady", "Running")
ABORT = "migrationAbortRequested"


@dataclass(frozen=True)
class Said:
    """An event on the migration."""

    type: str
    reason: str
    message: str


def is_final(migration: Obj) -> bool:
    return phase_of(migration) in FINAL


def state_of(vmi: Obj | None, migration: Obj) -> Obj | None:
    """VMI.status.migrationState when it is this migration's, else None."""
    state: Obj = dig(vmi, "status", "migrationState", default={})
    return state if state.get("migrationUid") == uid_of(migration) else None


def target_lost(pod: Obj | None, state: Obj | None) -> bool:
    """The target pod is gone or down. After the handover the source node, which knows why, may speak first."""
    if pod is None:
        return True
    return is_pod_down(pod) and (state is None or down_for(pod) >= HANDLER_GRACE_SECONDS)


def failure(migration: Obj, vmi: Obj | None, pod: Obj | None) -> str | None:
    """Why the migration has failed, in upstream's words and order; None while it may still succeed."""
    phase = phase_of(migration)
    state = state_of(vmi, migration)
    if vmi is None:
        return "Migration failed because vmi does not exist."
    if phase_of(vmi) in FINAL:
        return "Migration failed vmi shutdown during migration."
    if deleting(migration) and state is None:
        return "Migration failed due to being canceled"
    if state is not None and state.get("completed") and not state.get("failed"):
        return None
    if state is not None and state.get("failed"):
        return "source node reported migration failed"
    if pod is not None and target_lost(pod, state):
        return "Migration failed because target pod shutdown during migration"
    if phase not in ("", "Pending") and pod is None:
        return "Migration target pod was removed during active migration."
    if phase in HANDED_OFF and state is None:
        cleared = dig(vmi, "status", "migrationState") is None
        what = "was cleared during the" if cleared else "was taken over by another migration job during"
        return f"VMI's migration state {what} active migration."
    return None


def advance(migration: Obj, vmi: Obj | None, pod: Obj | None, source_pod: str) -> Said | None:
    """Bring `migration` (a copy, not final) to its next phases in place; the event to record, if it ended."""
    reason = failure(migration, vmi, pod)
    if deleting(migration) and not has_condition(migration, ABORT):
        put_condition(migration, ABORT, "True", "", "")
    if reason is not None:
        finish(migration, vmi, "Failed")
        return Said("Warning", "FailedMigration", reason)
    state = state_of(vmi, migration) or {}
    if not phase_of(migration):
        enter_phase(migration, "Pending")
    if phase_of(migration) == "Pending":
        if source_pod:
            migration["status"].setdefault("migrationState", {"sourcePod": source_pod})
        if pod is not None:
            enter_phase(migration, "Scheduling")
    if phase_of(migration) == "Scheduling" and pod is not None and is_pod_ready(pod):
        enter_phase(migration, "Scheduled")
    steps = (
        ("Scheduled", "PreparingTarget", bool(state.get("targetNode"))),
        ("PreparingTarget", "TargetReady", bool(state.get("targetNodeAddress"))),
        ("TargetReady", "Running", bool(state.get("startTimestamp"))),
    )
    for before, after, reached in steps:
        if phase_of(migration) == before and reached:
            enter_phase(migration, after)
    if phase_of(migration) == "Running" and state.get("completed") and not state.get("failed"):
        finish(migration, vmi, "Succeeded")
        return Said("Normal", "SuccessfulMigration", "Source node reported migration succeeded")
    return None


def finish(migration: Obj, vmi: Obj | None, phase: str) -> None:
    """Enter a final phase and keep the VMI's account of this migration."""
    enter_phase(migration, phase)
    state = state_of(vmi, migration)
    if state is not None:
        migration["status"]["migrationState"] = clone(state)
