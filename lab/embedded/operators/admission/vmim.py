"""Admission of VirtualMachineInstanceMigrations. Pure: the caller brings the VMI and the other migrations.

Rules: upstream mutators/migration-create-mutator.go, admitters/migration-{create,update}-admitter.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.embedded.operators import names
from lab.embedded.operators.admission.causes import NOT_SUPPORTED, REQUIRED, Cause, Denied, refuse
from lab.embedded.operators.migration_status import is_final
from lab.embedded.operators.objects import Obj, add_finalizer, condition, dig, namespace_of, phase_of, uid_of

RESTRICTED = "update of Migration object's spec is restricted"
NAME_MISSING = "vmiName is missing"


def default(migration: Obj) -> None:
    labels = migration["metadata"].setdefault("labels", {})
    vmi_name = dig(migration, "spec", "vmiName")
    if vmi_name:
        labels[names.VMI_NAME] = vmi_name
    add_finalizer(migration, names.MIGRATION_FINALIZER)


def check_create(migration: Obj, vmi: Obj | None, others: Iterable[Obj]) -> None:
    """Raises Denied. `others` are all migrations of the namespace; `vmi` is the named one, None when absent."""
    name = dig(migration, "spec", "vmiName", default="")
    if not name:
        refuse([Cause(REQUIRED, NAME_MISSING, "spec.vmiName")])
    if vmi is None:
        raise Denied(f'the VMI "{namespace_of(migration)}/{name}" does not exist')
    if phase_of(vmi) in ("Succeeded", "Failed"):
        raise Denied("Cannot migrate VMI in finalized state.")
    movable = condition(vmi, "LiveMigratable") or {}
    if movable.get("status") == "False":
        reason, message = movable.get("reason", ""), movable.get("message", "")
        raise Denied(f"Cannot migrate VMI, Reason: {reason}, Message: {message}")
    for other in others:
        if dig(other, "spec", "vmiName") == name and not is_final(other):
            raise Denied(
                f"in-flight migration detected. Active migration job ({uid_of(other)}) is currently already in "
                f"progress for VMI {name}."
            )


def check_update(migration: Obj, old: Obj) -> None:
    """Raises Denied."""
    if migration.get("spec") != old.get("spec"):
        refuse([Cause(NOT_SUPPORTED, RESTRICTED)])
