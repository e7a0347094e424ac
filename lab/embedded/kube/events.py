"""Events as client-go's recorder writes them: one that repeats is counted, not made again.

It must not talk to a server; `client` does.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]
REMEMBERED = 4096
"""Events that are told apart at most (client-go tools/record/events_cache.go, maxLruCacheEntries)."""


def body(regarding: Obj, type: str, reason: str, message: str, component: str, host: str) -> Obj:
    """A new v1 Event about an object, in its namespace (`default` for cluster-scoped ones)."""
    meta = regarding.get("metadata", {})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reference = {
        "apiVersion": regarding.get("apiVersion", ""),
        "kind": regarding.get("kind", ""),
        "name": meta.get("name", ""),
        "namespace": meta.get("namespace", ""),
        "uid": meta.get("uid", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    return {
        "metadata": {
            "name": f"{meta.get('name', '')}.{uuid.uuid4().hex[:16]}",
            "namespace": meta.get("namespace") or "default",
        },
        "involvedObject": {key: value for key, value in reference.items() if value},
        "type": type,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": component, **({"host": host} if host else {})},
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


class Repeats:
    """The events of this process that may come again, by all that they say."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    def note(self, event: Obj) -> tuple[str, int]:
        """The name under which the event is stored and how often it was seen, this time included."""
        regarding = event["involvedObject"]
        parts = ("kind", "namespace", "name", "uid")
        said = (event["type"], event["reason"], event["message"], event["reportingComponent"])
        key = (*(str(regarding.get(part, "")) for part in parts), *said)
        name, count = self._known.pop(key, (event["metadata"]["name"], 0))
        self._known[key] = name, count + 1
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return name, count + 1
