"""managedFields: who owns which fields after an update or an apply, and the conflicts between managers.

Upstream: apimachinery `pkg/util/managedfields` and structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.embedded.apiserver import fields
from lab.embedded.apiserver.errors import StatusError
from lab.embedded.apiserver.fields import Path
from lab.embedded.apiserver.schema import Schema, clone
from lab.embedded.apiserver.store import now

Obj = dict[str, Any]


@dataclass
class Manager:
    """One entry of managedFields, its fields as a set of paths."""

    name: str
    operation: str
    api_version: str
    subresource: str
    time: str
    paths: set[Path]

    def same(self, other: Manager) -> bool:
        """Applies of one name are one entry; updates also differ by apiVersion."""
        mine = (self.name, self.operation, self.subresource)
        theirs = (other.name, other.operation, other.subresource)
        return mine == theirs and (self.operation == "Apply" or self.api_version == other.api_version)

    def describe(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}" + (f" at {self.time}" if self.time else "")
        return text


def read(obj: Obj) -> list[Manager]:
    """Managers of an object; entries that are no FieldsV1 are dropped, as upstream resets what it cannot read."""
    managers = []
    for entry in obj["metadata"].get("managedFields") or ():
        if entry.get("fieldsType") == "FieldsV1":
            managers.append(
                Manager(
                    entry.get("manager", ""),
                    entry.get("operation", "Update"),
                    entry.get("apiVersion", ""),
                    entry.get("subresource", ""),
                    entry.get("time", ""),
                    fields.decode(entry.get("fieldsV1") or {}),
                )
            )
    return managers


def write(obj: Obj, managers: list[Manager]) -> None:
    """Put the entries into an object: applies first, then by time, empty ones left out."""
    entries = []
    for manager in sorted(managers, key=lambda m: (m.operation != "Apply", m.time, m.name)):
        if not manager.paths:
            continue
        entry: Obj = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": manager.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(manager.paths),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def after_update(old: Obj | None, new: Obj, schema: Schema, me: Manager) -> None:
    """Give `me` the fields that this update changed and take from everybody those that it removed."""
    if old is not None and new["metadata"].get("managedFields") == []:
        managers: list[Manager] = []
    else:
        managers = read(old) if old is not None else []
    before = fields.fields_of(old, schema) if old is not None else {}
    after = fields.fields_of(new, schema)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    mine = next((manager for manager in managers if manager.same(me)), None)
    if changed:
        if mine is None:
            mine = me
            managers.append(mine)
        mine.time = now()
    for manager in managers:
        manager.paths -= gone
        if manager is not mine:
            manager.paths -= {path for path in changed if after[path] is not fields.PRESENT or path not in before}
    if mine is not None:
        mine.paths |= changed
    write(new, managers)


def apply(live: Obj | None, applied: Obj, schema: Schema, me: Manager, *, force: bool) -> Obj:
    """Server-side apply: the merged object with its managedFields. Raises 409 with all conflicts unless `force`."""
    wanted = fields.fields_of(applied, schema)
    me.paths = set(wanted)
    me.time = now()
    if live is None:
        result: Obj = clone(applied)
        write(result, [me])
        return result
    managers = read(live)
    previous = next((manager for manager in managers if manager.same(me)), None)
    others = [manager for manager in managers if manager is not previous]
    applied_body = {k: v for k, v in applied.items() if k not in ("apiVersion", "kind")}
    merged: Obj = clone(fields.merge_object(live, applied_body, schema))
    current = fields.fields_of(live, schema)
    differs = {p for p, v in wanted.items() if v is not fields.PRESENT and (p not in current or current[p] != v)}
    _check_conflicts(others, differs, force)
    if previous is not None:
        gone = previous.paths - me.paths
        gone = {path for path in gone if not _owned_below(path, [*others, me])}
        fields.remove(merged, gone, schema)
        if previous.paths == me.paths and not differs:
            me.time = previous.time
    write(merged, [*others, me])
    return merged


def _owned_below(path: Path, managers: list[Manager]) -> bool:
    size = len(path)
    return any(owned[:size] == path for manager in managers for owned in manager.paths)


def _check_conflicts(others: list[Manager], differs: set[Path], force: bool) -> None:
    conflicts = [(other, path) for other in others for path in sorted(other.paths & differs)]
    if not conflicts:
        return
    if force:
        for other in others:
            other.paths -= differs
        return
    if len(conflicts) == 1:
        who, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {who.describe()}: {fields.pretty(path)}"
    else:
        lines = []
        for who in others:
            paths = [path for other, path in conflicts if other is who]
            if paths:
                lines.append(f"conflicts with {who.describe()}:")
                lines += [f"- {fields.pretty(path)}" for path in paths]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who.describe()}", "field": fields.pretty(path)}
        for who, path in conflicts
    ]
    raise StatusError(409, "Conflict", message, {"causes": causes})
