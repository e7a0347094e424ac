"""Server-side printing: the meta.k8s.io/v1 Table of a list of objects, and ages as Go prints them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lab.embedded.apiserver import clock
from lab.embedded.apiserver.resources import Column, Resource

Obj = dict[str, Any]


def human_duration(seconds: float) -> str:
    """Go: apimachinery `duration.HumanDuration`."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        years, rest = hours // 8760, hours // 24 % 365
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{hours // 8760}y"


def since(timestamp: Any) -> str:
    """Age of an RFC 3339 time; `<unknown>` when there is none, `<invalid>` when it is no time."""
    if not timestamp:
        return "<unknown>"
    try:
        moment = datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    return human_duration((clock.now() - moment).total_seconds())


def age(obj: Obj) -> str:
    return since(obj["metadata"].get("creationTimestamp"))


NAME = Column(
    "Name", lambda obj: obj["metadata"]["name"], format="name", description="Name must be unique within a namespace."
)
DEFAULT = (Column("Age", age, description="CreationTimestamp is a timestamp of the creation of the object."),)
CREATED_AT = (Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp"), type="date"),)


def partial(obj: Obj) -> Obj:
    """PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def to_table(resource: Resource, objects: Iterable[Obj], meta: Obj, include: str = "Metadata") -> Obj:
    """Table of objects; `include` is the includeObject parameter: Metadata, Object or None."""
    columns = (NAME, *(resource.columns or DEFAULT))
    definitions = [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in columns
    ]
    rows = []
    for obj in objects:
        row: Obj = {"cells": [column.cell(obj) for column in columns]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }
