"""Events in both of their groups: one stored form (core/v1), shown and accepted as events.k8s.io/v1 too."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
_PAIRS = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def _renamed(obj: Obj, names: dict[str, str], api_version: str) -> Obj:
    return {**{names.get(key, key): value for key, value in obj.items()}, "apiVersion": api_version}


def outward(obj: Obj) -> Obj:
    """core/v1 to events.k8s.io/v1."""
    return _renamed(obj, dict(_PAIRS), "events.k8s.io/v1")


def inward(obj: Obj) -> Obj:
    """events.k8s.io/v1 to core/v1."""
    return _renamed(obj, {new: old for old, new in _PAIRS}, "v1")
